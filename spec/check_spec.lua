--- pkv check: what is sound is called sound, what is not is named by file and offset, and nothing is
-- changed by asking.
local lfs = require "lfs"
local pkv = require "pkv"
local command = require "spec.support.command"
local disk = require "spec.support.disk"
local helper = require "spec.support.helper"
local random = require "spec.support.random"

local SOUND, NOT_FOUND, LOCKED, CORRUPT = 0, 1, 4, 5
local LOG = "snapshot_1_0-of-1_diff.bin"

--- Checks the folder, and that this changed none of its files. Exit code, lines, stderr.
local function check(path)
   local before = disk.files(path)
   local code, out, err = command("check", path)
   assert.same(before, disk.files(path))
   local lines = {}
   for line in out:gmatch "[^\n]+" do lines[#lines + 1] = line end
   return code, lines, err
end

local function assert_sound(path, records)
   local code, lines, err = check(path)
   assert.equal("", err)
   assert.equal(1, #lines, table.concat(lines, "\n"))
   assert.match("^sound: %d+ files, " .. (records or "%d+") .. " records, %d+ bytes$", lines[1])
   assert.equal(SOUND, code)
end

--- Damaged, and the first finding names the file, and an offset in a range (nil: none).
local function assert_damaged(path, file, from, upto)
   local code, lines = check(path)
   assert.equal(CORRUPT, code, table.concat(lines, "\n"))
   assert.match("^not sound: ", lines[#lines])
   local kind, name, offset, message = lines[1]:match "^(%S+) (%S+) (%S+): (.+)$"
   assert.equal("damaged", kind)
   assert.equal(file, name)
   assert.match(file, message, 1, true)
   if not from then return lines end
   offset = assert(tonumber(offset), lines[1])
   assert.is_true(from <= offset and offset <= upto, lines[1])
   return lines
end

local path

before_each(function() path = disk.folder() end)
after_each(disk.clean)

--- Damaged ranges as the output tells them: { file, offset, bytes }.
local function ranges()
   local found = {}
   local _, lines = check(path)
   for _, line in ipairs(lines) do
      local file, offset, bytes = line:match "^damaged (%S+) (%d+): .* %((%d+) bytes%)$"
      if file then found[#found + 1] = { file, tonumber(offset), tonumber(bytes) } end
   end
   table.sort(found, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
   return found
end

--- What lies in the records from the one number to the other.
local function range_of(records, file, first, last)
   return { file, records[first].from, records[last].upto - records[first].from }
end

--- A closed store: a backup, a snapshot and a log. The names of the three files.
local function filled()
   local store = assert(pkv.open(path))
   for round = 1, 3 do
      for i = 1, 8 do store["key " .. i] = ("value %d of round %d"):format(i, round) end
      if round < 3 then assert(pkv.snapshot(store)) end
   end
   assert(pkv.close(store))
   local names = disk.names(path)
   assert.equal(3, #names)
   return table.unpack(names)
end

describe("pkv check finds nothing", function()
   it("in a store that is new, closed, with and without backups", function()
      assert(pkv.close(assert(pkv.open(path))))
      assert_sound(path, 0)
      filled()
      assert_sound(path, 24)
      assert(pkv.prune_backups(path, 0))
      assert_sound(path, 16)
   end)

   it("in stores of integer keys and of many shards", function()
      local store = assert(pkv.open(path, { keys = "i16", wal_shards = 4, snapshot_shard_bytes = 64 }))
      for i = -50, 50 do store[i] = i end
      assert(pkv.snapshot(store))
      for i = -50, 50 do store[i] = i * 2 end
      assert(pkv.close(store))
      assert_sound(path, 202)
   end)

   it("after kill -9, wherever it struck", function()
      for _, io in ipairs { "mmap", "pwrite" } do
         path = disk.folder()
         disk.killed(path, ([[
            local store = assert(pkv.open(path, { wal_io = %q }))
            for i = 1, 100 do store[i .. ""] = i end
            assert(pkv.snapshot(store))
            for i = 1, 100 do store[i .. ""] = -i end]]):format(io))
         assert_sound(path, 200)
      end
   end)

   it("in the folders of the crate", function()
      for name in lfs.dir "spec/fixtures/crate" do
         local folder = "spec/fixtures/crate/" .. name
         if name:find "^%a" and lfs.attributes(folder, "mode") == "directory" then assert_sound(disk.copy(folder)) end
      end
   end)
end)

describe("pkv check tells a torn tail from damage", function()
   it("says what would be cut, and that the store is sound", function()
      disk.killed(path, [[
         local store = assert(pkv.open(path))
         store.a = "one"
         store.b = "two"]])
      local records = disk.records(helper.read(path .. "/" .. LOG))
      local bytes = helper.read(path .. "/" .. LOG):sub(1, records[2].upto - 4) -- a tag, and so no zero
      helper.write(path .. "/" .. LOG, bytes)
      local code, lines = check(path)
      local cut = #bytes - records[2].from
      assert.equal(SOUND, code)
      assert.same({
         ("torn %s %d: would be cut at open: %d bytes of %s from offset %d")
            :format(LOG, records[2].from, cut, LOG, records[2].from),
         ("sound: 1 files, 1 records, %d bytes"):format(#bytes),
      }, lines)
      local store = assert(pkv.open(path))
      assert.equal(cut, pkv.stats(store).cut_bytes)
      assert(pkv.close(store))
   end)
end)

describe("pkv check finds", function()
   it("every flipped bit of a snapshot, a backup and a log, with file and offset", function()
      for _, name in ipairs { filled() } do
         local bytes = helper.read(path .. "/" .. name)
         local records = disk.records(bytes)
         random.rounds(1, function()
            for offset = math.random(0, 6), #bytes - 1, 7 do
               helper.write(path .. "/" .. name, disk.flipped(bytes, offset, math.random(0, 7)))
               local at
               for _, record in ipairs(records) do
                  if record.from <= offset and offset < record.upto then at = record.from end
               end
               assert_damaged(path, name, at, at)
            end
         end)
         helper.write(path .. "/" .. name, bytes)
      end
      assert_sound(path)
   end)

   it("every flipped bit of the manifest", function()
      filled()
      local bytes = helper.read(path .. "/manifest")
      random.rounds(1, function()
         for offset = math.random(0, 2), #bytes - 1, 3 do
            helper.write(path .. "/manifest", disk.flipped(bytes, offset, math.random(0, 7)))
            assert_damaged(path, "manifest")
         end
      end)
   end)

   it("a bit flipped before what was flushed, though the process died", function()
      disk.killed(path, [[
         local store = assert(pkv.open(path))
         for i = 1, 20 do store[i .. ""] = "value " .. i end
         assert(pkv.sync(store))
         store.last = "tells how far it was flushed"]])
      local bytes = helper.read(path .. "/" .. LOG)
      local records = disk.records(bytes)
      random.rounds(1, function()
         for i = 1, 20, 3 do
            local offset = math.random(records[i].from, records[i].upto - 1)
            helper.write(path .. "/" .. LOG, disk.flipped(bytes, offset))
            assert_damaged(path, LOG, records[i].from, records[i].from)
         end
      end)
   end)

   it("all that is wrong, not just the first", function()
      local backup, snapshot, log = filled()
      disk.remove(path, backup)
      helper.write(path .. "/" .. snapshot, helper.read(path .. "/" .. snapshot):sub(1, 20))
      helper.write(path .. "/" .. log, helper.read(path .. "/" .. log) .. "more")
      helper.write(path .. "/snapshot_900_0-of-1_diff.bin", "another program's")
      local code, lines = check(path)
      assert.equal(CORRUPT, code)
      assert.equal(5, #lines)
      local text = table.concat(lines, "\n")
      for _, name in ipairs { backup, snapshot, log, "snapshot_900_0-of-1_diff.bin" } do
         assert.match("damaged " .. name, text, 1, true)
      end
   end)

   it("every damaged range of a file, with its offset and length, and reads what is between", function()
      for _, name in ipairs { filled() } do
         local bytes = helper.read(path .. "/" .. name)
         local records = disk.records(bytes)
         local function hit(...)
            local changed = bytes
            for _, i in ipairs { ... } do changed = disk.flipped(changed, records[i].upto - 6, 2) end
            helper.write(path .. "/" .. name, changed)
            return changed
         end
         hit(2, 5, 8)
         assert.same({ range_of(records, name, 2, 2), range_of(records, name, 5, 5), range_of(records, name, 8, 8) },
                     ranges())
         hit(1, 2, 3, 7)
         assert.same({ range_of(records, name, 1, 3), range_of(records, name, 7, 7) }, ranges())
         local _, lines = check(path)
         assert.match("not sound: 3 files, 20 records", lines[#lines], 1, true)
         helper.write(path .. "/" .. name, hit(4):sub(1, records[7].from + 3))
         assert.same({ range_of(records, name, 4, 4), range_of(records, name, 7, #records) }, ranges())
         helper.write(path .. "/" .. name, hit(4):sub(1, records[7].from))
         assert.same({ range_of(records, name, 4, 4), range_of(records, name, 7, #records) }, ranges())
         local from, upto = records[3].from + 2, records[5].from + 1
         helper.write(path .. "/" .. name, disk.patched(bytes, from, ("\0"):rep(upto - from)))
         assert.same({ range_of(records, name, 3, 5) }, ranges())
         helper.write(path .. "/" .. name, hit(6) .. "grown")
         assert.same({ range_of(records, name, 6, 6), { name, #bytes, 5 } }, ranges())
         helper.write(path .. "/" .. name, bytes)
      end
      assert_sound(path, 24)
   end)

   it("every damaged range of a log whose process died, and tells a torn tail behind them", function()
      disk.killed(path, [[
         local store = assert(pkv.open(path))
         for i = 1, 20 do store[i .. ""] = "value " .. i end
         assert(pkv.sync(store))
         for i = 21, 24 do store[i .. ""] = "not flushed" end]])
      local bytes = helper.read(path .. "/" .. LOG)
      local records = disk.records(bytes)
      local changed = bytes
      for _, i in ipairs { 3, 19, 23 } do changed = disk.flipped(changed, records[i].upto - 1) end
      helper.write(path .. "/" .. LOG, changed)
      assert.same({ range_of(records, LOG, 3, 3), range_of(records, LOG, 19, 19) }, ranges())
      local _, lines = check(path)
      assert.equal(1, lines[3]:find(("torn %s %d: would be cut at open: %d bytes"):format(LOG, records[23].from,
                   records[24].upto - records[23].from), 1, true))
   end)

   it("integer keys that are none, and damage behind them", function()
      local store = assert(pkv.open(path, { keys = "u8" }))
      for i = 1, 20 do store[i] = i end
      assert(pkv.close(store))
      local bytes = helper.read(path .. "/" .. LOG)
      local records = disk.records(bytes)
      local changed = bytes
      for _, i in ipairs { 4, 9 } do changed = disk.flipped(changed, records[i].from + 2) end
      helper.write(path .. "/" .. LOG, changed)
      assert.same({ range_of(records, LOG, 4, 4), range_of(records, LOG, 9, 9) }, ranges())
   end)

   it("of much damage a hundred ranges of a file, and how much more there is", function()
      local store = assert(pkv.open(path))
      for i = 1, 600 do store["key " .. i] = "value " .. i end
      assert(pkv.close(store))
      local bytes = helper.read(path .. "/" .. LOG)
      local records = disk.records(bytes)
      local parts, at, more = {}, 1, 0
      for i = 1, 600, 2 do
         local offset = records[i].upto - 6
         parts[#parts + 1] = bytes:sub(at, offset) .. string.char(bytes:byte(offset + 1) ~ 1)
         at = offset + 2
         if i > 200 then more = more + records[i].upto - records[i].from end
      end
      helper.write(path .. "/" .. LOG, table.concat(parts) .. bytes:sub(at))
      local code, lines = check(path)
      assert.equal(CORRUPT, code)
      assert.equal(102, #lines)
      assert.equal(("more %s -: and 200 more of %s (%d bytes)"):format(LOG, LOG, more), lines[101])
      assert.match("not sound: 1 files, 300 records", lines[102], 1, true)
   end)

   it("of many missing files a thousand, and how many more there are", function()
      assert(lfs.mkdir(path))
      helper.write(path .. "/snapshot_1_77-of-3000_diff.bin", "\x0d\x0a\x0210\x12\x07value10")
      local code, lines = check(path)
      assert.equal(CORRUPT, code)
      assert.equal(1002, #lines)
      assert.match("damaged snapshot_1_0-of-3000_diff.bin", lines[1], 1, true)
      assert.match("damaged snapshot_1_1000-of-3000_diff.bin", lines[1000], 1, true)
      assert.equal("more - -: and 1999 more (0 bytes)", lines[1001])
      assert.match("not sound: 1 files, 1 records", lines[1002], 1, true)
   end)

   it("each shard that a folder of the crate lacks, and what is wrong with the others", function()
      assert(lfs.mkdir(path))
      local records = ("\x0d\x0a\x0210\x12\x07value10"):rep(10)
      for shard = 0, 5, 2 do helper.write(("%s/snapshot_1_%d-of-6_diff.bin"):format(path, shard), records) end
      helper.write(path .. "/snapshot_1_4-of-6_diff.bin", disk.patched(records, 43, "\xff"))
      local text = table.concat(select(2, check(path)), "\n")
      for shard = 1, 5, 2 do assert.match(("damaged snapshot_1_%d-of-6_diff.bin -:"):format(shard), text, 1, true) end
      assert.same({ { "snapshot_1_4-of-6_diff.bin", 42, 14 } }, ranges())
      assert.match("not sound: 3 files, 29 records", text, 1, true)
   end)

   it("a shard that a folder of the crate lacks, and its integer keys that are none", function()
      path = disk.copy "spec/fixtures/crate/u64_wal"
      local names = disk.names(path)
      if #names > 1 then
         disk.remove(path, names[1])
         assert_damaged(path, names[1])
      end
      path = disk.folder()
      assert(pkv.close(assert(pkv.open(path, { keys = "u8" }))))
      disk.remove(path, "manifest")
      disk.remove(path, LOG)
      helper.write(path .. "/" .. LOG, "\x0d\x0a\x08\x01\0\0\0\0\0\0\0\x12\x01x")
      local store = assert(pkv.open(path, { keys = "u8" }))
      assert(pkv.close(store))
      assert_sound(path, 1)
      helper.write(path .. "/" .. LOG, "\x0d\x0a\x08\x01\0\0\0\0\0\0\1\x12\x01x")
      assert_damaged(path, LOG, 0, 0)
   end)

   it("the ranges that a repair would leave out", function()
      local names = { filled() }
      local sound = path
      random.rounds(20, function()
         path = disk.copy(sound)
         local name = names[math.random(2, 3)]
         local bytes = helper.read(path .. "/" .. name)
         for _ = 1, math.random(4) do
            local offset = math.random(0, #bytes - 1)
            local noise = math.random(2) == 1 and random.bytes(1) or random.bytes(math.random(90))
            bytes = disk.patched(bytes, offset, noise:sub(1, #bytes - offset))
         end
         helper.write(path .. "/" .. name, bytes)
         local output = disk.folder()
         local _, out = command("repair", "--output", output, path)
         local skipped = {}
         for file, offset, size in out:gmatch "skipped (%S+) (%d+): skipped (%d+) bytes" do
            skipped[#skipped + 1] = { file, tonumber(offset), tonumber(size) }
         end
         assert.same(skipped, ranges())
      end)
   end)

   it("what is wrong with random bytes, and does not crash", function()
      local _, snapshot, log = filled()
      random.rounds(20, function()
         local name = math.random(2) == 1 and snapshot or log
         local bytes = helper.read(path .. "/" .. name)
         local noise = {}
         for i = 1, math.random(300) do noise[i] = string.char(math.random(0, 255)) end
         helper.write(path .. "/" .. name, table.concat(noise))
         assert_damaged(path, name)
         helper.write(path .. "/" .. name, bytes)
      end)
   end)
end)

describe("pkv check tells of leftovers, which are no damage:", function()
   it("what an interrupted snapshot, clean-up, or repair has left, if an open would remove it", function()
      local backup, snapshot = filled()
      local left = { "snapshot_5_0-of-1_pending.bin", "snapshot_1_0-of-1_diff.bin", "snapshot_900_0-of-1_diff.bin",
                     "manifest.new" }
      helper.write(path .. "/" .. left[1], "half")
      helper.write(path .. "/" .. left[2], "an old log")
      helper.write(path .. "/" .. left[3], ("\0"):rep(10000)) -- room for a log that was never listed
      helper.write(path .. "/" .. left[4], "")
      assert(lfs.mkdir(path .. "/repaired"))
      local code, lines = check(path)
      assert.equal(SOUND, code, table.concat(lines, "\n"))
      assert.equal(6, #lines)
      local text = table.concat(lines, "\n")
      for _, name in ipairs(left) do assert.match("leftover " .. name .. " -: ", text, 1, true) end
      assert.match("leftover repaired -: ", text, 1, true)
      assert.match("(10000 bytes)", text, 1, true)
      assert(pkv.close(assert(pkv.open(path))))
      left[#left] = nil -- was overwritten and renamed
      for _, name in ipairs(left) do assert.is_nil(lfs.attributes(path .. "/" .. name), name) end
      for _, name in ipairs { backup, snapshot } do assert.is_truthy(lfs.attributes(path .. "/" .. name)) end
   end)

   it("a published snapshot that is still called pending is none", function()
      local _, snapshot = filled()
      assert(os.rename(path .. "/" .. snapshot, path .. "/" .. snapshot:gsub("full", "pending")))
      assert_sound(path, 24)
   end)

   it("logs that a snapshot of the crate's covers", function()
      path = disk.copy "spec/fixtures/crate/string_snap"
      helper.write(path .. "/snapshot_1_0-of-1_diff.bin", "\x0d\x0a\x0210\x12\x07value10")
      local code, lines = check(path)
      assert.equal(SOUND, code)
      assert.equal(2, #lines)
      assert.match("leftover snapshot_1_0-of-1_diff.bin -: ", lines[1], 1, true)
   end)
end)

describe("pkv check answers", function()
   it("locked, where somebody has the store open", function()
      local store = assert(pkv.open(path))
      local code, lines, err = check(path)
      assert(pkv.close(store))
      assert.equal(LOCKED, code)
      assert.same({}, lines)
      assert.match(path, err, 1, true)
   end)

   it("no store, where there is none, and makes none", function()
      local code, out = command("check", path)
      assert.equal(NOT_FOUND, code)
      assert.equal("", out)
      assert.is_nil(lfs.attributes(path))
   end)
end)
