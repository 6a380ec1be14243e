-- interop.lua CRATE_PROGRAM PKV_COMMAND - folders written by the crate are opened here and the other
-- way round, for all nine types of keys; what is read must equal what was written.
--
-- No value that the crate is to read is empty: the crate drops a key with an empty value when it
-- reopens, and no folder could make it do otherwise.
local pkv = require "pkv"

local PROGRAM, COMMAND = arg[1], arg[2]
local TYPES = { "string", "u64", "i64", "u32", "i32", "u16", "i16", "u8", "i8" }
local NO_SNAPSHOT = 1 << 40
local SEED = tonumber(os.getenv "SEED") or 20260101

local function hex(bytes)
   return (bytes:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

local function shell(format, ...)
   local command = format:format(...)
   assert(os.execute(command), "failed: " .. command)
end

local function output_of(format, ...)
   local command = format:format(...)
   local pipe = assert(io.popen(command))
   local text = pipe:read "a"
   assert(pipe:close(), "failed: " .. command)
   return text
end

-- ---- What is written

local function random_bytes(size)
   local words = {}
   for i = 1, math.min(size, 256) // 8 + 1 do
      words[i] = string.pack("<i8", math.random(0))
   end
   local bytes = table.concat(words)
   return bytes:rep(size // #bytes + 1):sub(1, size)
end

local function integer_key(name)
   local bits = tonumber(name:sub(2))
   local key = math.random(0)
   if bits == 64 then
      return key
   end
   key = key & ((1 << bits) - 1)
   return name:sub(1, 1) == "i" and key >= 1 << (bits - 1) and key - (1 << bits) or key
end

-- Letters of two bytes too: the crate's strings are UTF-8.
local function string_key()
   return ("kéy-%d-%s"):format(math.random(1, 500), ("ü\0"):rep(math.random(0, 3)))
end

local function key_bytes(name, key)
   if name == "string" then
      return key
   end
   local width = tonumber(name:sub(2)) // 8
   return string.pack("<i8", key):sub(1, width) .. ("\0"):rep(8 - width)
end

local SIZES = { 1, 2, 7, 100, 127, 128, 300, 2000 }

-- A list of { key, value } to set and { key } to unset, and the table that comes of them.
local function random_changes(name, count, entries)
   local changes = {}
   for i = 1, count do
      local key = name == "string" and string_key() or integer_key(name)
      if name == "string" and i == 1 then
         key = "" -- as good a key as any
      end
      local size = i == 2 and 70000 or SIZES[math.random(#SIZES)]
      local value = math.random(5) > 1 and random_bytes(size) or nil
      changes[i] = { key = key, value = value }
      entries[key] = value
   end
   return changes
end

-- ---- The two sides

local function crate_write(name, folder, changes, interval)
   local pipe = assert(io.popen(("%s write %s %s %d"):format(PROGRAM, name, folder, interval), "w"))
   for _, change in ipairs(changes) do
      local key = hex(key_bytes(name, change.key))
      pipe:write(change.value and ("set %s %s\n"):format(key, hex(change.value)) or "unset " .. key .. "\n")
   end
   assert(pipe:close(), "the crate's program failed")
end

local function our_write(name, folder, changes, options, snapshot_after)
   options = options or {}
   options.keys = name
   local store <close> = assert(pkv.open(folder, options))
   for i, change in ipairs(changes) do
      store[change.key] = change.value
      if i == snapshot_after then
         assert(pkv.snapshot(store))
      end
   end
   assert(pkv.close(store))
end

local function sorted(dump)
   local lines = {}
   for line in dump:gmatch "[^\n]+" do
      lines[#lines + 1] = line
   end
   table.sort(lines)
   return table.concat(lines, "\n")
end

local function crate_dump(name, folder)
   return sorted(output_of("%s dump %s %s", PROGRAM, name, folder))
end

local function our_dump(name, folder)
   return sorted(output_of("%s list --hex --keys %s %s", COMMAND, name, folder))
end

local function expected_dump(name, entries)
   local lines = {}
   for key, value in pairs(entries) do
      lines[#lines + 1] = hex(key_bytes(name, key)) .. " " .. hex(value)
   end
   table.sort(lines)
   return table.concat(lines, "\n")
end

-- ---- The scenarios

local passed, failed = 0, 0

local function compare(title, found, expected)
   if found == expected then
      passed = passed + 1
      return
   end
   failed = failed + 1
   local _, found_lines = found:gsub("\n", "")
   local _, expected_lines = expected:gsub("\n", "")
   print(("FAILED: %s: %d lines, %d expected"):format(title, found_lines + 1, expected_lines + 1))
end

local function from_crate(name, root)
   local entries = {}
   local log_only = root .. "/crate-log"
   local changes = random_changes(name, 200, entries)
   crate_write(name, log_only, changes, NO_SNAPSHOT)
   compare(name .. ": the crate's log, read here", our_dump(name, log_only), expected_dump(name, entries))

   local both = root .. "/crate-snapshot"
   crate_write(name, both, changes, #changes)
   assert(os.execute(("ls %s | grep -q full"):format(both)), "the crate wrote no snapshot")
   crate_write(name, both, random_changes(name, 100, entries), NO_SNAPSHOT)
   compare(name .. ": the crate's snapshot and log, read here", our_dump(name, both),
      expected_dump(name, entries))

   -- And back: the folder goes on here, and the crate reads what came of it.
   our_write(name, both, random_changes(name, 100, entries))
   compare(name .. ": the crate's folder, continued here, read here", our_dump(name, both),
      expected_dump(name, entries))
   compare(name .. ": the crate's folder, continued here, read by the crate", crate_dump(name, both),
      expected_dump(name, entries))
end

local function to_crate(name, root)
   local variants = {
      { title = "one log", options = {} },
      { title = "three logs", options = { wal_shards = 3 } },
      { title = "a snapshot and logs", options = { wal_shards = 2 }, snapshot_after = 120 },
      { title = "a log by positioned writes", options = { wal_io = "pwrite" } },
   }
   for i, variant in ipairs(variants) do
      local entries, folder = {}, ("%s/ours-%d"):format(root, i)
      our_write(name, folder, random_changes(name, 200, entries), variant.options, variant.snapshot_after)
      compare(("%s: %s of ours, read by the crate"):format(name, variant.title), crate_dump(name, folder),
         expected_dump(name, entries))
   end
end

math.randomseed(SEED)
print("seed " .. SEED)
local root = output_of("mktemp -d"):gsub("\n", "")
for _, name in ipairs(TYPES) do
   local folder = root .. "/" .. name
   shell("mkdir %s", folder)
   from_crate(name, folder)
   to_crate(name, folder)
end
if failed == 0 then
   shell("rm -r %s", root)
else
   print("The folders are left in " .. root)
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0, true)
