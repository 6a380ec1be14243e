--- Folders of the Rust crate persistent-kv 1.0.2, as spec/fixtures/crate holds them: nine types of
-- keys, each as a log alone and as a snapshot with a log, and a .dump of what is in them.
local pkv = require "pkv"
local internals = require "pkv_internals"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"
local disk = require "spec.support.disk"
local command = require "spec.support.command"

local build = os.getenv "PKV_BUILD" or "build"
local fixtures = "spec/fixtures/crate/"
local pairs = compat.pairs
local modes = { "string", "u32", "i32", "u16", "i16", "u8", "i8" }
-- Their keys are no numbers where numbers are doubles.
if compat.has_integers then modes = { "u64", "i64", compat.unpack(modes) } end

--- Calls f(name, mode) for each of the folders.
local function each_folder(f)
   for _, mode in ipairs(modes) do
      for _, kind in ipairs { "wal", "snap" } do f(mode .. "_" .. kind, mode) end
   end
end

local function expected_of(name, mode)
   local expected = {}
   for key, value in pairs(disk.dump(fixtures .. name .. ".dump")) do expected[disk.key(mode, key)] = value end
   return expected
end

local function open(path, mode, options)
   local all = { keys = mode, values = "string" }
   for option, value in pairs(options or {}) do all[option] = value end
   return pkv.open(path, all)
end

local function content_of(path, mode, options)
   local store = assert(open(path, mode, options))
   local content = helper.content(store)
   assert(pkv.close(store))
   return content
end

local function lines_of(file)
   local lines = {}
   for line in file:lines() do lines[#lines + 1] = line end
   table.sort(lines)
   return lines
end

local function listing_of(path, mode)
   local pipe = assert(io.popen(("%s/pkv list --hex --keys %s %s"):format(build, mode, path)))
   local lines = lines_of(pipe)
   assert(pipe:close())
   return lines
end

local function dumped_lines(name)
   local file = assert(io.open(fixtures .. name .. ".dump"))
   local lines = lines_of(file)
   file:close()
   return lines
end

local function is_refused(path, code, ...)
   local before = disk.files(path)
   local store, message, got = pkv.open(path, ...)
   assert.is_nil(store)
   assert.equal(code, got, message)
   assert.match(path, message, 1, true)
   assert.same(before, disk.files(path))
   return message
end

describe("a folder of the crate", function()
   after_each(disk.clean)

   it("opens and equals its dump, each time it is opened", function()
      each_folder(function(name, mode)
         local path, expected = disk.copy(fixtures .. name), expected_of(name, mode)
         assert.is_true(next(expected) ~= nil)
         for _ = 1, 3 do assert.same(expected, content_of(path, mode), name) end
      end)
   end)

   it("opens with any number of shards and threads", function()
      each_folder(function(name, mode)
         local path, expected = disk.copy(fixtures .. name), expected_of(name, mode)
         local options = { wal_shards = 3, memory_shards = 1, snapshot_threads = 3 }
         assert.same(expected, content_of(path, mode, options), name)
         assert.same(expected, content_of(path, mode, { wal_io = "pwrite" }), name)
      end)
   end)

   it("is listed by the command as its dump has it", function()
      each_folder(function(name, mode)
         local path, lines = disk.copy(fixtures .. name), dumped_lines(name)
         for _ = 1, 2 do assert.same(lines, listing_of(path, mode), name) end
      end)
   end)

   it("keeps what was in it under sets, unsets, snapshots and reopens", function()
      each_folder(function(name, mode)
         local path, expected = disk.copy(fixtures .. name), expected_of(name, mode)
         for round = 1, 3 do
            local store = assert(open(path, mode))
            local gone = next(expected)
            local new = mode == "string" and "new" .. round or round
            store[gone], expected[gone] = nil, nil
            store[new], expected[new] = "value " .. round, "value " .. round
            if round == 2 then assert(pkv.snapshot(store)) end
            assert.same(expected, helper.content(store), name)
            assert(pkv.close(store))
         end
         assert.same(expected, content_of(path, mode), name)
      end)
   end)

   it("keeps it when the process dies", function()
      each_folder(function(name, mode)
         local path, expected = disk.copy(fixtures .. name), expected_of(name, mode)
         disk.killed(path, ([[
            local store = assert(pkv.open(path, { keys = %q, values = "string" }))
            store[%s] = "new" ]]):format(mode, mode == "string" and "'new'" or "7"))
         expected[mode == "string" and "new" or 7] = "new"
         assert.same(expected, content_of(path, mode), name)
      end)
   end)

   it("loses its files to a snapshot, but not before", function()
      local path = disk.copy(fixtures .. "i32_snap")
      local store = assert(open(path, "i32", { keep_backups = 0 }))
      local names = { "snapshot_2_0-of-1_full.bin", "snapshot_3_0-of-1_diff.bin", "snapshot_4_0-of-1_diff.bin" }
      assert.same(names, disk.names(path))
      assert(pkv.snapshot(store))
      assert.same({ "snapshot_5_0-of-1_full.bin", "snapshot_6_0-of-1_diff.bin" }, disk.names(path))
      assert(pkv.close(store))
      assert.same(expected_of("i32_snap", "i32"), content_of(path, "i32"))
   end)
end)

describe("opened with the wrong keys, a folder of the crate", function()
   after_each(disk.clean)

   it("is an error that names the file, and is not touched", function()
      for _, case in ipairs {
         { "string_wal", "u64" }, { "string_snap", "i8" }, { "i32_wal", "u8" }, { "i32_snap", "i16" },
         { "u32_wal", "u16" }, { "i16_snap", "u8" }, { "u16_wal", "i8" },
      } do
         local path = disk.copy(fixtures .. case[1])
         assert.match("snapshot_%d_0%-of%-1_%l+.bin, record at offset %d+",
                      is_refused(path, "key_mode", { keys = case[2], values = "string" }))
         local mode = case[1]:match("^%w+")
         assert.same(expected_of(case[1], mode), content_of(path, mode))
      end
   end)

   it("is an error once it has been opened with the right ones, even where all keys would fit", function()
      local path = disk.copy(fixtures .. "u8_wal")
      local expected = content_of(path, "u8")
      for _, mode in ipairs(modes) do
         if mode ~= "u8" then is_refused(path, "key_mode", { keys = mode, values = "string" }) end
      end
      is_refused(path, "value_type", { keys = "u8" })
      assert.same(expected, content_of(path, "u8"))
   end)

   it("is damaged where its manifest says that these are the right ones", function()
      local path, log = disk.copy(fixtures .. "string_wal"), "snapshot_1_0-of-1_diff.bin"
      local shards = { { size = 0, entries = 0, checksum = 0 } }
      assert(internals.manifest_write(path, { keys = 2, key_type = 2, values = 2, last_ordinal = 1,
         logs = { { ordinal = 1, foreign = true, shards = shards } } }))
      is_refused(path, "key_mode", { keys = "i64", values = "string" })
      local code, out = command("check", path)
      assert.equal(5, code)
      assert.match(("damaged %s 0: %s, record at offset 0: a key that is no i64"):format(log, log), out, 1, true)
      local strange = 0
      for _, record in ipairs(disk.records(helper.read(path .. "/" .. log))) do
         if #record.key ~= 8 then strange = strange + 1 end
      end
      code, out = command("repair", path)
      assert.equal(5, code)
      assert.equal(strange, select(2, ("\n" .. out):gsub("\nskipped [^\n]*: the key is none of the store's", "")))
   end)
end)

describe("a log of the crate", function()
   local log = "snapshot_1_0-of-1_diff.bin"
   local path, name, records, bytes
   before_each(function()
      path = disk.copy(fixtures .. "string_wal")
      name = path .. "/" .. log
      bytes = helper.read(name)
      records = disk.records(bytes)
   end)
   after_each(disk.clean)

   --- The log cut to a size is all that is there.
   local function cut_to(size)
      for file in pairs(helper.files(path)) do os.remove(path .. "/" .. file) end
      helper.write(name, bytes:sub(1, size))
   end

   --- What the records that end by `size` amount to, and where the last of them ends.
   local function before(size)
      local content, upto = {}, 0
      for _, record in ipairs(records) do
         if record.upto > size then break end
         disk.apply({ record }, content)
         upto = record.upto
      end
      return content, upto
   end

   it("holds the records that the specs below think it does", function()
      assert.same(disk.dump(fixtures .. "string_wal.dump"), disk.apply(records, {}))
   end)

   it("that was cut anywhere keeps the records before the cut, and goes on from there", function()
      for size = records[#records - 5].from, #bytes - 1 do
         cut_to(size)
         local expected, upto = before(size)
         local store = assert(open(path, "string"))
         assert.same(expected, helper.content(store), size)
         assert.equal(size - upto, pkv.stats(store).cut_bytes)
         assert.equal(upto, disk.size(path, log))
         store.later, expected.later = "later", "later"
         assert(pkv.close(store))
         assert.same(expected, content_of(path, "string"), size)
      end
   end)

   it("that was cut in mid-value of 16 KiB keeps what is before", function()
      local large
      for _, record in ipairs(records) do
         if record.value and #record.value > 16000 then large = record end
      end
      for _, size in ipairs { large.from + 1, large.from + 2, large.from + 3, large.upto - 1 } do
         cut_to(size)
         assert.same((before(size)), content_of(path, "string"), size)
      end
   end)

   it("that holds no record in the middle is corrupt, and is not touched", function()
      local third = records[3].from
      for _, damage in ipairs { ("\255"):rep(10), "\5\10\127" } do
         helper.write(name, disk.patched(bytes, third, damage))
         local message = is_refused(path, "corrupt", { values = "string" })
         assert.match(("%s is damaged at offset %d"):format(log, third), message, 1, true)
      end
   end)

   it("may end in zeros, as its positioned writes leave them", function()
      helper.write(name, bytes .. ("\0"):rep(5000))
      local expected = disk.dump(fixtures .. "string_wal.dump")
      for _ = 1, 2 do assert.same(expected, content_of(path, "string")) end
   end)

   it("may have zeros between records of integer keys, where no key is empty", function()
      local folder, expected = disk.copy(fixtures .. "i32_wal"), expected_of("i32_wal", "i32")
      local file = folder .. "/" .. log
      local all = helper.read(file)
      local third = disk.records(all)[3].from
      helper.write(file, all:sub(1, third) .. ("\0"):rep(100) .. all:sub(third + 1) .. ("\0"):rep(100))
      for _ = 1, 2 do assert.same(expected, content_of(folder, "i32")) end
      assert.equal(0, (command("check", folder)))
      local repaired = disk.folder()
      assert.equal(0, (command("repair", "--output", repaired, folder)))
      assert.same(expected, content_of(repaired, "i32"))
   end)
end)

describe("the crate's three errors are told with the names of the files:", function()
   local path
   before_each(function() path = disk.copy(fixtures .. "u8_snap") end)
   after_each(disk.clean)

   local function rename(from, to) assert(os.rename(path .. "/" .. from, path .. "/" .. to)) end

   local function refusal() return is_refused(path, "corrupt", { keys = "u8", values = "string" }) end

   it("a missing shard", function()
      rename("snapshot_2_0-of-1_full.bin", "snapshot_2_1-of-2_full.bin")
      assert.match("Missing snapshot shard.*snapshot_2_0%-of%-2_full.bin", refusal())
   end)

   it("a duplicate shard", function()
      helper.write(path .. "/snapshot_2_0-of-1_diff.bin", "")
      assert.match("Duplicate snapshot shard.*snapshot_2_0%-of%-1_diff.bin.*snapshot_2_0%-of%-1_full.bin", refusal())
   end)

   it("shards that do not belong together", function()
      helper.write(path .. "/snapshot_2_1-of-2_full.bin", "")
      assert.match("Inconsistent snapshot shard.*snapshot_2_0%-of%-1_full.bin.*snapshot_2_1%-of%-2_full.bin", refusal())
   end)

   it("and what was never published is none", function()
      helper.write(path .. "/snapshot_4_1-of-3_pending.bin", "half written")
      assert.same(expected_of("u8_snap", "u8"), content_of(path, "u8"))
      helper.write(path .. "/snapshot_4_1-of-3_pending.bin", "half written")
      assert.equal(1, pkv.delete_failed_pending_snapshots(path))
      assert.equal(0, pkv.delete_failed_pending_snapshots(path))
      assert.same(expected_of("u8_snap", "u8"), content_of(path, "u8"))
   end)
end)
