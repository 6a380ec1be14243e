-- seeds.lua FOLDER - makes the first inputs of the fuzz targets, from stores that it writes and from
-- those of the crate (spec/fixtures). Run by `make fuzz-seeds`.
local pkv = require "pkv"
local lfs = require "lfs"
local folder = require "spec.support.folder"

local target = assert(arg[1], "usage: seeds.lua FOLDER")
local KINDS = { diff = 0, pending = 1, full = 2, manifest = 3, ["manifest.new"] = 4, lockfile = 5 }

local function save(kind, name, bytes)
   lfs.mkdir(target)
   lfs.mkdir(target .. "/" .. kind)
   folder.write(target .. "/" .. kind, name, bytes)
end

local function names_in(path)
   local names = {}
   for name in lfs.dir(path) do
      if lfs.attributes(path .. "/" .. name, "mode") == "file" then names[#names + 1] = name end
   end
   table.sort(names)
   return names
end

-- The first small records of a log or snapshot: more are only more of the same.
local function some_records(bytes)
   local at, parts, size = 1, {}, 0
   while at <= #bytes and size < 400 do
      local length, head, shift = 0, 0, 0
      repeat
         local byte = bytes:byte(at + head)
         length = length | (byte & 127) << shift
         head, shift = head + 1, shift + 7
      until byte < 128
      if length < 200 then
         parts[#parts + 1] = bytes:sub(at, at + head + length - 1)
         size = size + head + length
      end
      at = at + head + length
   end
   return table.concat(parts)
end

-- A file as a section, see folder.h.
local function section(path, name, shortened)
   local bytes = folder.read(path, name)
   if shortened then bytes = some_records(bytes) end
   local ordinal, shard, count, kind = name:match "^snapshot_(%d+)_(%d+)%-of%-(%d+)_(%a+)%.bin$"
   if not kind then ordinal, shard, count, kind = 0, 0, 1, name end
   assert(#bytes < 65536, name)
   local place = tonumber(shard) << 4 | (tonumber(count) - 1)
   return string.pack("<BBBI2", KINDS[kind], tonumber(ordinal), place, #bytes) .. bytes
end

local function pack_folder(path, flags, shortened)
   local parts = { string.char(flags, 1) }
   for _, name in ipairs(names_in(path)) do
      if name ~= "lockfile" then parts[#parts + 1] = section(path, name, shortened) end
   end
   return table.concat(parts)
end

-- Room that an open store has made behind its records would only be zeros to mutate.
local function without_room(bytes)
   local tail = bytes:gsub("\0+$", "")
   return tail .. "\0\0"
end

local function copy_open_store(path)
   local copy = folder.make()
   for _, name in ipairs(names_in(path)) do
      folder.write(copy, name, without_room(folder.read(path, name)))
   end
   return copy
end

local function keep(path, name, flags)
   save("folder", name, pack_folder(path, flags))
   for _, file in ipairs(names_in(path)) do
      local bytes = folder.read(path, file)
      if file == "manifest" then
         save("manifest", name, "\1" .. bytes:sub(1, -6))
      elseif file:find "bin$" then
         save("record", name .. "_" .. file:match "%d+" .. file:match "_(%a)%a*%.bin$", "\1" .. bytes)
         save("names", file, file)
      end
   end
end

-- A store with values of all kinds, and two snapshots if wanted, as it is while open or once closed.
local function keep_store(name, options, key_of, snapshots, closed)
   local path = folder.make()
   options.snapshot_interval = 1 << 40
   local store = assert(pkv.open(path, options))
   local values = { "text", "", 17, -1, 2.5, true, { 1, 2, { x = "y" } } }
   for round = 0, snapshots do
      for i, value in ipairs(values) do
         assert(pkv.set(store, key_of(i + round), options.values == "u16" and i or value))
      end
      pkv.unset(store, key_of(2))
      if round < snapshots then assert(pkv.snapshot(store)) end
   end
   pkv.sync(store)
   local copy = not closed and copy_open_store(path)
   assert(pkv.close(store))
   keep(copy or path, name, 1)
   if copy then folder.remove(copy) end
   folder.remove(path)
end

local function text_key(i)
   return "key " .. i
end

local function integer_key(i)
   return i
end

keep_store("empty", {}, text_key, 0, true)
keep_store("log", {}, text_key, 0, true)
keep_store("open", {}, text_key, 0, false)
keep_store("snapshots", {}, text_key, 2, true)
keep_store("open_snapshots", { wal_shards = 2 }, text_key, 2, false)
keep_store("integers", { keys = "i32", wal_shards = 3 }, integer_key, 1, true)
keep_store("numbers", { keys = "u64", values = "u16" }, integer_key, 1, false)

-- What the crate has written. Its integer stores differ in width only.
for _, name in ipairs { "string_snap", "string_wal", "i8_snap", "u64_wal" } do
   local path = "spec/fixtures/crate/" .. name
   local flags = name:find "^string" and 16 or 32
   save("folder", "crate_" .. name, pack_folder(path, flags, true))
   for _, file in ipairs(names_in(path)) do
      local bytes = some_records(folder.read(path, file))
      save("record", "crate_" .. name .. file:match "_(%a)%a*%.bin$", "\0" .. bytes)
   end
end

for i, bytes in ipairs {
   "\x80", "\x90", "\x93\1\xa1x\xc3", "\x82\xa1a\x91\x90\xa1b\xcb\x40\x04\0\0\0\0\0\0", "\xdc\0\2\xc4\1\xff\xd9\1x",
   "\xdd\0\0\0\1\xdf\0\0\0\1\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xd3\x80\0\0\0\0\0\0\0",
   "\x91\xca\x3f\x80\0\0", "\x81\xc0\xc0", ("\x91"):rep(129) .. "\x90", "\xde\xff\xff",
} do
   save("msgpack", "seed_" .. i, bytes)
end
