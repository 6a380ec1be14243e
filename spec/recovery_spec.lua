--- What a process that died, a power loss or a meddler left, and how the store is opened again: what
-- was acknowledged is there, what is torn is cut, what is damaged is an error and never a guess.
local pkv = require "pkv"
local internals = require "pkv_internals"
local helper = require "spec.support.helper"
local disk = require "spec.support.disk"
local random = require "spec.support.random"
local writer = require "spec.support.writer"

local LOG = "snapshot_1_0-of-1_diff.bin"

local path
before_each(function() path = disk.folder() end)
after_each(disk.clean)

--- Opening is refused with this code, and changes no file. Returns the message.
local function refusal(folder, code)
   local before = disk.files(folder)
   local store, message, got = pkv.open(folder)
   if store then error("the store opened", 2) end
   assert.equal(code, got, message)
   assert.match(folder, message, 1, true)
   assert.same(before, disk.files(folder))
   return message
end

local function is_damaged(folder, name, offset)
   local message = refusal(folder, "corrupt")
   assert.match(name, message, 1, true)
   assert.match("offset " .. offset .. "%f[%D]", message)
end

--- The log of the folder and its records; offsets as they are in the file.
local function log_of(folder, name)
   local bytes = helper.read(folder .. "/" .. (name or LOG))
   return bytes, disk.records(bytes)
end

--- The record that an offset lies in.
local function record_at(records, offset)
   for i, record in ipairs(records) do
      if offset < record.upto then return record, i end
   end
end

--- After `content` has come back, the store can be written to and opened again, twice.
local function goes_on(folder, content, what)
   local expected = {}
   for key, value in pairs(content) do expected[key] = value end
   for round = 1, 2 do
      local store = assert(pkv.open(folder))
      assert.same(expected, helper.content(store), what)
      store["later " .. round], expected["later " .. round] = round, round
      assert(pkv.close(store))
   end
   assert.same(expected, helper.content_of(folder), what)
end

describe("a process that is killed while it writes loses nothing it acknowledged", function()
   local syncs, ios, intervals = { "os", "always", 0.001 }, { "mmap", "pwrite" }, { 1, 13, 500, false }
   local function pick(list) return list[math.random(#list)] end

   local function literal(options)
      local parts = {}
      for name, value in pairs(options) do
         parts[#parts + 1] = ("%s = %s"):format(name, type(value) == "string" and ("%q"):format(value) or value)
      end
      return "{ " .. table.concat(parts, ", ") .. " }"
   end

   --- Starts a writer and kills it; how many changes it has acknowledged.
   local function run_and_kill(seed, largest, options)
      local script = ("require 'spec.support.writer'.run(%q, %d, %d, %s)"):format(path, seed, largest, options)
      local pipe = assert(io.popen(("exec %s -e %q 2>&1"):format(os.getenv "LUA" or "lua5.4", script)))
      local pid = assert(tonumber(pipe:read("l")))
      local acknowledged, wanted = 0, math.random(0, 1500)
      while acknowledged < wanted do acknowledged = assert(tonumber(pipe:read("l"))) end
      os.execute("kill -9 " .. pid)
      for line in pipe:lines("L") do
         if line:sub(-1) == "\n" then acknowledged = tonumber(line) or acknowledged end
      end
      pipe:close()
      return acknowledged
   end

   --- The content once so many changes more have been made; how many are right, -1 where none is.
   local function changed(content, seed, largest, least, most, is_right)
      local next_change = writer.changes(seed, largest)
      for i = 0, most do
         if i >= least and is_right(content) then return i end
         local key, value = next_change()
         content[key] = value
      end
      return -1
   end

   local function round(seed, content, options)
      local largest, text = pick { 30, 1000, 70000 }, literal(options)
      local round_seed = math.random(1 << 40)
      local acknowledged = run_and_kill(round_seed, largest, text)
      local back = helper.content_of(path, { wal_shards = pick { 1, 3 }, memory_shards = pick { 1, 32 } })
      local least = options.sync == "buffered" and 0 or acknowledged
      local made = changed(content, round_seed, largest, least, acknowledged + 1,
                           function(expected) return helper.same(expected, back) end)
      if made < 0 then
         error(("seed %d, %s: %d changes acknowledged, and not there"):format(seed, text, acknowledged))
      end
      math.randomseed(round_seed) -- the changes have used up the generator
   end

   it("in any mode of syncing, writing and snapshots, again and again", function()
      random.rounds(1, function(seed)
         local content = {}
         for _ = 1, 24 do
            round(seed, content, { sync = pick(syncs), wal_io = pick(ios), snapshot_interval = pick(intervals),
                                   wal_shards = pick { 1, 3 } })
         end
      end)
   end)

   it("and with sync = buffered comes back as it was a little earlier", function()
      random.rounds(1, function(seed)
         local content = {}
         for _ = 1, 6 do
            round(seed, content, { sync = "buffered", wal_io = pick(ios), snapshot_interval = pick { 100, false } })
         end
      end)
   end)
end)

--- A folder of a process that died: these keys, in order, and nothing was flushed.
local function die_with(keys, options, code)
   local list = {}
   for i, key in ipairs(keys) do list[i] = ("%q"):format(key) end
   disk.killed(path, ([[
      local store = assert(pkv.open(path, %s))
      local function set(...) for _, key in ipairs { ... } do store[key] = "value of " .. key end end
      set(%s)
      %s]]):format(options or "{}", table.concat(list, ", "), code or ""))
end

local function values_of(keys, count)
   local content = {}
   for i = 1, count or #keys do content[keys[i]] = "value of " .. keys[i] end
   return content
end

for _, wal_io in ipairs { "mmap", "pwrite" } do
   local options = ("{ wal_io = %q }"):format(wal_io)
   local keys = { "one", "two", "three", "four", "five" }

   describe("with wal_io = " .. wal_io .. ", a log that lost its end", function()
      it("keeps the records before the cut, wherever it is, and goes on from there", function()
         die_with(keys, options)
         local bytes, records = log_of(path)
         assert.equal(5, #records)
         for size = records[4].from, records[5].upto do
            local folder = disk.copy(path)
            helper.write(folder .. "/" .. LOG, bytes:sub(1, size))
            local whole = size == records[5].upto and 5 or size >= records[4].upto and 4 or 3
            goes_on(folder, values_of(keys, whole), size)
         end
      end)

      it("does so where the file has kept its length, and zeros are in place of the end", function()
         die_with(keys, options)
         local bytes, records = log_of(path)
         for size = records[5].from, records[5].upto - 1 do
            local folder = disk.copy(path)
            helper.write(folder .. "/" .. LOG, bytes:sub(1, size) .. ("\0"):rep(5000))
            -- The checksum may end in zeros.
            local whole = bytes:sub(size + 1, records[5].upto):find("[^%z]") and 4 or 5
            goes_on(folder, values_of(keys, whole), size)
         end
      end)

      it("tells how much was cut, of which file and from where, once", function()
         die_with(keys, options)
         local bytes, records = log_of(path)
         local garbage = bytes:sub(1, records[5].upto) .. "half a record" .. ("\0"):rep(100)
         helper.write(path .. "/" .. LOG, garbage)
         local events = {}
         local all = { on_event = function(name, event) events[#events + 1] = { name, event } end }
         local store = assert(pkv.open(path, all))
         assert.equal(13, pkv.stats(store).cut_bytes)
         assert.equal(5, pkv.stats(store).restored_entries)
         assert.equal("restored", events[1][1])
         assert.equal(13, events[1][2].cut_bytes)
         assert.equal(5, events[1][2].entries)
         assert.match(LOG, events[1][2].message, 1, true)
         assert.match(("offset %d%%f[%%D]"):format(records[5].upto), events[1][2].message)
         assert(pkv.close(store))
         events = {}
         store = assert(pkv.open(path, all))
         assert.equal(0, pkv.stats(store).cut_bytes)
         assert.equal(0, events[1][2].cut_bytes)
         assert.is_nil(events[1][2].message)
         assert(pkv.close(store))
         assert.same(values_of(keys), helper.content_of(path))
      end)

      it("has any garbage behind its last record cut", function()
         die_with(keys, options)
         local bytes, records = log_of(path)
         local good = bytes:sub(1, records[5].upto)
         random.rounds(40, function()
            local folder = disk.copy(path)
            helper.write(folder .. "/" .. LOG, good .. random.bytes(math.random(1, 300)))
            goes_on(folder, values_of(keys))
         end)
         for _, garbage in ipairs { good, good:sub(1, records[3].upto), ("\xff"):rep(100000), "\x05\x0a\x03abc",
                                    ("\0"):rep(70000) .. good } do
            local folder = disk.copy(path)
            helper.write(folder .. "/" .. LOG, good .. garbage)
            local store = assert(pkv.open(folder))
            local content = helper.content(store)
            assert(pkv.close(store))
            -- A log's own records may be read again: that is no harm. No others may.
            assert.same(values_of(keys), content)
         end
      end)

      it("of a record larger than what files are read by keeps what is before", function()
         for _, size in ipairs { 200000, 262100, 300000, 900000 } do
            local folder = disk.folder()
            disk.killed(folder, ([[
               local store = assert(pkv.open(path, %s))
               store.one = 1
               store.large = ("x"):rep(%d)
               store.two = 2]]):format(options, size))
            local bytes, records = log_of(folder)
            for _, offset in ipairs { records[2].from, records[2].from + 9, records[2].upto - size // 2,
                                      records[2].upto - 1 } do
               local copy = disk.copy(folder)
               local torn = disk.flipped(bytes, offset):sub(1, offset + 1) -- the byte may be a zero already
               helper.write(copy .. "/" .. LOG, torn .. ("\0"):rep(#bytes - offset - 1))
               goes_on(copy, { one = 1 }, size)
               helper.write(copy .. "/manifest", helper.read(folder .. "/manifest"))
               helper.write(copy .. "/" .. LOG, disk.flipped(bytes, offset))
               goes_on(copy, { one = 1 }, size)
            end
         end
      end)

      it("does not come back with what was cut off, whatever is appended later", function()
         die_with(keys, options)
         local bytes, records = log_of(path)
         -- A log that is mapped has zeros behind its last record in any case.
         for _, ending in ipairs { "assert(pkv.close(store))", "" } do
            local folder = disk.copy(path)
            helper.write(folder .. "/" .. LOG, disk.flipped(bytes, records[2].from + 5))
            disk.killed(folder, [[
               local store = assert(pkv.open(path, { wal_io = "pwrite" }))
               assert(#store == 1)
               store.TWO = "value of 2" ]] .. ending)
            local _, now = log_of(folder)
            assert.equal(records[2].upto, now[2].upto) -- as long as what stood there
            assert.same({ one = "value of one", TWO = "value of 2" }, helper.content_of(folder))
         end
      end)
   end)
end

describe("a flipped bit", function()
   local keys = { "one", "two", "three", "four" }

   --- Calls f(folder, offset, record number) for each bit of the records, flipped in a copy.
   local function each_flip(records, bytes, first, last, f)
      local folder = disk.copy(path)
      for offset = records[first].from, records[last].upto - 1 do
         local record, number = record_at(records, offset)
         for bit = 0, 7 do
            for name, content in pairs(helper.files(path)) do helper.write(folder .. "/" .. name, content) end
            helper.write(folder .. "/" .. LOG, disk.flipped(bytes, offset, bit))
            f(folder, record, number)
         end
      end
   end

   it("in a log that was closed is an error that names file and offset, and changes nothing", function()
      local store = assert(pkv.open(path))
      for _, key in ipairs(keys) do store[key] = "value of " .. key end
      assert(pkv.close(store))
      local bytes, records = log_of(path)
      assert.equal(#bytes, records[4].upto)
      each_flip(records, bytes, 1, 4, function(folder, record) is_damaged(folder, LOG, record.from) end)
      for size = 0, #bytes - 1 do
         helper.write(path .. "/" .. LOG, bytes:sub(1, size))
         local record = record_at(records, size)
         is_damaged(path, LOG, record.from)
      end
      helper.write(path .. "/" .. LOG, bytes)
      assert.same(values_of(keys), helper.content_of(path))
   end)

   it("before what pkv.sync has flushed is the same in the log of a process that died", function()
      die_with({ "one", "two" }, "{}", [[assert(pkv.sync(store)) set("three", "four")]])
      local bytes, records = log_of(path)
      assert.equal(records[2].upto, records[3][6]) -- the mark, in the next record
      each_flip(records, bytes, 1, 2, function(folder, record) is_damaged(folder, LOG, record.from) end)
      assert.same(values_of(keys), helper.content_of(path))
   end)

   it("is found too where large records follow what was flushed, whichever of them says so", function()
      for _, code in ipairs {
         [[store.two = ("x"):rep(20000)]], [[store.two = ("x"):rep(250000)]],
         [[store.two = ("x"):rep(300000) store.three = 3]], [[store[""] = "empty" store.three = 3]],
      } do
         local folder = disk.folder()
         disk.killed(folder, ([[
            local store = assert(pkv.open(path))
            store.one = 1
            assert(pkv.sync(store))
            %s]]):format(code))
         local bytes, records = log_of(folder)
         helper.write(folder .. "/" .. LOG, disk.flipped(bytes, records[1].upto - 1))
         is_damaged(folder, LOG, 0)
      end
   end)

   it("in the log of a process that died, where nothing was flushed, leaves what is before it", function()
      die_with(keys)
      local bytes, records = log_of(path)
      each_flip(records, bytes, 1, 4, function(folder, _, number)
         local content = helper.content_of(folder)
         assert.same(values_of(keys, number - 1), content)
         assert.same(content, helper.content_of(folder))
      end)
   end)
end)

describe("a log that the manifest lists", function()
   it("and that is not there is an error that names it", function()
      die_with { "one" }
      disk.remove(path, LOG)
      assert.match(LOG, refusal(path, "corrupt"), 1, true)
   end)

   it("is as long after a clean close as it was then, or another program has written to it", function()
      local store = assert(pkv.open(path))
      store.a, store.b = "ours", "ours"
      assert(pkv.close(store))
      -- As the crate writes them: a, and b unset.
      local bytes = helper.read(path .. "/" .. LOG)
      helper.write(path .. "/" .. LOG, bytes .. "\x0b\x0a\x01a\x12\x06theirs" .. "\x03\x0a\x01b")
      local message = refusal(path, "corrupt")
      assert.match(LOG, message, 1, true)
      assert.match("another program has written", message, 1, true)
      assert.match('remove the file "manifest"', message, 1, true)
      disk.remove(path, "manifest")
      for _ = 1, 2 do assert.same({ a = "theirs" }, helper.content_of(path)) end
   end)

   it("and no other, or another program has written one", function()
      local store = assert(pkv.open(path))
      store.a = "ours"
      assert(pkv.close(store))
      local foreign = "snapshot_2_0-of-1_diff.bin"
      helper.write(path .. "/" .. foreign, "\x0b\x0a\x01b\x12\x06theirs")
      local message = refusal(path, "corrupt")
      assert.match(foreign, message, 1, true)
      assert.match('remove the file "manifest"', message, 1, true)
      disk.remove(path, "manifest")
      for _ = 1, 2 do assert.same({ a = "ours", b = "theirs" }, helper.content_of(path)) end
   end)

   it("and one that a snapshot has made needless is removed, also where no log is listed", function()
      local store = assert(pkv.open(path))
      store.a = "ours"
      assert(pkv.sync(store))
      local bytes = helper.read(path .. "/" .. LOG)
      assert(pkv.snapshot(store))
      assert(pkv.close(store))
      local manifest = internals.manifest_read(path)
      manifest.logs = {}
      assert(internals.manifest_write(path, manifest))
      helper.write(path .. "/" .. LOG, bytes) -- as a clean-up that was interrupted leaves it
      assert.same({ a = "ours" }, helper.content_of(path))
      assert.is_nil(helper.files(path)[LOG])
   end)

   it("and no other, even where an ordinal of ours was given away for nothing", function()
      local store = assert(pkv.open(path))
      store.a = "ours"
      assert(pkv.close(store))
      local manifest = internals.manifest_read(path)
      manifest.last_ordinal = 3 -- by a rotation that failed
      assert(internals.manifest_write(path, manifest))
      helper.write(path .. "/snapshot_2_0-of-2_diff.bin", "")
      helper.write(path .. "/snapshot_2_1-of-2_diff.bin", "\x0b\x0a\x01b\x12\x06theirs")
      assert.match("snapshot_2_1-of-2_diff.bin", refusal(path, "corrupt"), 1, true)
      disk.remove(path, "manifest")
      assert.same({ a = "ours", b = "theirs" }, helper.content_of(path))
   end)

   it("is not taken for damaged because of a value that holds another log", function()
      local other = disk.folder()
      local store = assert(pkv.open(other))
      for i = 1, 20 do
         store[i .. ""] = ("x"):rep(100)
         assert(pkv.sync(store)) -- each record tells how much has been flushed
      end
      assert(pkv.close(store))
      store = assert(pkv.open(path))
      store.a = "here"
      store.log = helper.read(other .. "/" .. LOG)
      local copy = disk.copy(path)
      assert(pkv.close(store))
      local bytes, records = log_of(copy)
      local torn = records[2].from + 3
      helper.write(copy .. "/" .. LOG, bytes:sub(1, torn) .. "?" .. bytes:sub(torn + 2))
      assert.same({ a = "here" }, helper.content_of(copy))
   end)

   it("is read whatever the shards were, and are now, and however the store ended", function()
      random.rounds(1, function()
         local expected = {}
         for round = 1, 10 do
            local options = ("{ wal_shards = %d, memory_shards = %d }"):format(math.random(4), 1 << math.random(0, 6))
            local lines = {}
            for _ = 1, 40 do
               local key, value = "key " .. math.random(60), math.random(4) > 1 and round or nil
               expected[key] = value
               lines[#lines + 1] = ("store[%q] = %s"):format(key, value)
            end
            if math.random(3) == 1 then lines[#lines + 1] = "assert(pkv.snapshot(store))" end
            if math.random(3) == 1 then lines[#lines + 1] = "assert(pkv.close(store))" end
            die_with({}, options, table.concat(lines, "\n"))
            local copy = disk.copy(path)
            assert.same(expected, helper.content_of(copy, { wal_shards = math.random(4) }))
         end
      end)
   end)

   it("is repaired as often as it takes: dying at once after opening changes nothing", function()
      die_with { "one", "two" }
      local bytes, records = log_of(path)
      helper.write(path .. "/" .. LOG, bytes:sub(1, records[2].upto - 1))
      for _ = 1, 3 do disk.killed(path, "assert(pkv.open(path))") end
      assert.same(values_of { "one" }, helper.content_of(path))
   end)
end)

describe("where a log lost its end, a later one of the same shard", function()
   local LATER = "snapshot_3_0-of-1_diff.bin"

   --- A process that died after a rotation whose snapshot could not be written.
   local function die_rotated(options, before, after)
      die_with(before, options, ([[
         assert(require "lfs".mkdir(path .. "/snapshot_2_0-of-1_pending.bin"))
         assert(not pkv.snapshot(store))
         %s]]):format(after))
      assert(os.remove(path .. "/snapshot_2_0-of-1_pending.bin"))
   end

   it("is dropped, and told of: no hole comes back", function()
      die_rotated("{}", { "one", "two" }, [[set("three", "four")]])
      local bytes, records = log_of(path)
      local _, later = log_of(path, LATER)
      assert.equal(#bytes, records[2].upto)
      assert.equal(#bytes, later[1][7]) -- it says how long the one before was
      for size = 0, #bytes - 1 do
         local folder = disk.copy(path)
         helper.write(folder .. "/" .. LOG, bytes:sub(1, size))
         local _, number = record_at(records, size)
         local store = assert(pkv.open(folder))
         -- Zeros at the end, which a checksum may have, are no loss.
         local torn = bytes:sub(records[number].from + 1, size)
         assert.equal(disk.used(torn) + later[2].upto, pkv.stats(store).cut_bytes)
         assert(pkv.close(store))
         goes_on(folder, values_of({ "one" }, number - 1), size)
      end
      goes_on(path, values_of { "one", "two", "three", "four" })
   end)

   it("is damaged where it says that it had been flushed", function()
      die_rotated("{}", { "one", "two" }, [[set "three" assert(pkv.sync(store)) set "four"]])
      local bytes, records = log_of(path)
      helper.write(path .. "/" .. LOG, bytes:sub(1, records[2].upto - 1))
      assert.match(LATER, refusal(path, "corrupt"), 1, true)
   end)

   it("is kept where it belongs to another shard", function()
      local before, after = {}, {}
      for i = 1, 20 do before[i], after[i] = "before " .. i, ("set 'after %d'"):format(i) end
      die_rotated("{ wal_shards = 2 }", before, table.concat(after, "\n"))
      local expected = {}
      local names = { "snapshot_1_0-of-2_diff.bin", "snapshot_1_1-of-2_diff.bin", "snapshot_3_1-of-2_diff.bin" }
      local bytes, records = log_of(path, names[1])
      disk.apply({ table.unpack(records, 1, #records - 1) }, expected)
      disk.apply(select(2, log_of(path, names[2])), expected)
      disk.apply(select(2, log_of(path, names[3])), expected)
      helper.write(path .. "/" .. names[1], bytes:sub(1, #bytes - 1))
      goes_on(path, expected)
   end)
end)

describe("the manifest of a store that is open", function()
   it("says that it was not closed, and which logs there are", function()
      local store = assert(pkv.open(path, { wal_shards = 2 }))
      local manifest = assert(internals.manifest_read(path))
      assert.is_false(manifest.clean)
      assert.equal(1, #manifest.logs)
      assert.equal(2, #manifest.logs[1].shards)
      store.a = "1"
      assert(pkv.close(store))
      manifest = assert(internals.manifest_read(path))
      assert.is_true(manifest.clean)
      local size = manifest.logs[1].shards[1].size + manifest.logs[1].shards[2].size
      assert.equal(disk.size(path, "snapshot_1_0-of-2_diff.bin") + disk.size(path, "snapshot_1_1-of-2_diff.bin"), size)
   end)
end)
