-- What is said of damaged and missing files: the whole text, with the file, the offset and what to do. That damage is
-- found wherever it is, is for recovery_spec, snapshot_spec, check_spec and repair_spec.
local lfs = require "lfs"
local pkv = require "pkv"
local internals = require "pkv_internals"
local disk = require "spec.support.disk"
local helper = require "spec.support.helper"

local LOG, FULL, PENDING = "snapshot_1_0-of-1_diff.bin", "snapshot_2_0-of-1_full.bin", "snapshot_2_0-of-1_pending.bin"

local path
before_each(function() path = disk.folder() end)
after_each(disk.clean)

local function read(name) return helper.read(path .. "/" .. name) end
local function write(name, bytes) helper.write(path .. "/" .. name, bytes) end

--- A store with three entries of the same size, closed; in a snapshot where that is wanted.
local function make(snapshot, options)
   local store = assert(pkv.open(path, options or { snapshot_shard_bytes = 1000000 }))
   for i = 1, 3 do store["key " .. i] = "value " .. i end
   if snapshot then assert(pkv.snapshot(store)) end
   assert(pkv.close(store))
end

local function says(text, options)
   local store, message = pkv.open(path, options)
   assert.is_nil(store)
   assert.equal(("cannot open store %s: "):format(path) .. text, message)
end

describe("an open says of a snapshot", function()
   local bytes, records
   before_each(function()
      make(true)
      bytes = read(FULL)
      records = disk.records(bytes)
   end)

   it("that it ends inside a record", function()
      write(FULL, bytes:sub(1, -2))
      says(("snapshot file %s is damaged at offset %d: it ends inside a record"):format(FULL, records[3].from))
   end)

   it("that there is no valid record", function()
      write(FULL, disk.flipped(bytes, records[2].upto - 1))
      says(("snapshot file %s is damaged at offset %d: there is no valid record"):format(FULL, records[2].from))
   end)

   it("that there are zeros", function()
      write(FULL, bytes .. "\0\0")
      says(("snapshot file %s is damaged at offset %d: there are zeros in place of a record"):format(FULL, #bytes))
   end)

   it("that its size is another", function()
      write(FULL, bytes:sub(1, records[2].upto))
      says(("snapshot file %s is damaged at offset %d: it has not the size it was written with")
         :format(FULL, records[2].upto))
   end)

   it("that its checksum is wrong", function()
      write(FULL, bytes:sub(records[1].upto + 1) .. bytes:sub(1, records[1].upto))
      says(("snapshot file %s is damaged at offset %d: its checksum is wrong"):format(FULL, #bytes))
   end)

   it("that it is missing", function()
      disk.remove(path, FULL)
      says("Missing snapshot shard: the manifest lists " .. FULL .. ", which is not there")
   end)
end)

describe("an open says of a log", function()
   it("that it is damaged, and how far it was flushed", function()
      make()
      local bytes = read(LOG)
      local records = disk.records(bytes)
      write(LOG, disk.flipped(bytes, records[2].upto - 1))
      says(("log file %s is damaged at offset %d: there is no valid record, though the file had been flushed up to " ..
            "offset %d"):format(LOG, records[2].from, #bytes))
   end)

   it("of the crate that it is damaged", function()
      path = disk.copy "spec/fixtures/crate/string_wal"
      local name
      for _, each in ipairs(disk.names(path)) do name = #read(each) > 100 and each or name end
      local bytes = read(name)
      local record = disk.records(bytes)[2]
      write(name, disk.patched(bytes, record.from + 1, ("\xff"):rep(record.upto - record.from - 1)))
      says(("log file %s is damaged at offset %d: there is no valid record"):format(name, record.from),
           { keys = "string", values = "string" })
   end)

   it("that it is missing", function()
      make()
      disk.remove(path, LOG)
      says("Missing snapshot shard: log file " .. LOG .. " is listed in the manifest, but not there")
   end)

   it("that it has grown", function()
      make()
      local bytes = read(LOG)
      write(LOG, bytes .. "more")
      says(('log file %s has grown from %d to %d bytes since the store was closed: another program has written to ' ..
            'it. To take over what it wrote, remove the file "manifest" and open the store again with its key mode')
         :format(LOG, #bytes, #bytes + 4))
   end)

   it("that it is not the store's", function()
      make()
      write("snapshot_7_0-of-1_diff.bin", read(LOG))
      says('Inconsistent snapshot files: snapshot_7_0-of-1_diff.bin is not listed in the manifest, so another ' ..
           'program has written it. To take over what it wrote, remove the file "manifest" and open the store again ' ..
           'with its key mode')
   end)

   it("what of it was cut", function()
      disk.killed(path, [[
         local store = assert(pkv.open(path))
         store.a = "one"
         store.b = "two"]])
      local records = disk.records(read(LOG))
      write(LOG, read(LOG):sub(1, records[2].upto - 4))
      local said
      local store = assert(pkv.open(path, { on_event = function(name, details)
         if name == "restored" then said = details.message end
      end }))
      assert.equal(("cut %d bytes that were not written whole, of %s from offset %d on")
         :format(records[2].upto - 4 - records[2].from, LOG, records[2].from), said)
      assert(pkv.close(store))
   end)
end)

describe("an open says of a manifest", function()
   it("that it is a link", function()
      make()
      assert(os.rename(path .. "/manifest", path .. "/elsewhere"))
      assert(lfs.link("elsewhere", path .. "/manifest", true))
      says("manifest is a link or no regular file, and is not followed; put the manifest itself in its place: " ..
           "Too many levels of symbolic links")
   end)

   it("that it is too large", function()
      make()
      local file = assert(io.open(path .. "/manifest", "wb"))
      assert(file:seek("set", 64 * 1024 * 1024) and file:write "x" and file:close())
      says("manifest cannot be believed: it is larger than any manifest; restore the folder from a backup, or " ..
           "salvage what can be read with `pkv repair`")
   end)
end)

describe("a check says", function()
   --- The messages of a check's findings.
   local function findings()
      local found = {}
      for i, finding in ipairs(assert(pkv.check(path)).findings) do found[i] = finding.message end
      return found
   end

   it("that a key is of another type", function()
      local store = assert(pkv.open(path, { keys = "i64" }))
      store[1000] = 1
      assert(pkv.close(store))
      local size = #read(LOG)
      local manifest = internals.manifest_read(path)
      manifest.key_type = 8 -- i8
      assert(internals.manifest_write(path, manifest))
      local said = "%s, record at offset 0: a key that is no i8, the type of the store's (%d bytes)"
      assert.same({ said:format(LOG, size) }, findings())
   end)

   it("what is damaged behind the first damage", function()
      local store = assert(pkv.open(path))
      for i = 1, 6 do store["key " .. i] = "value " .. i end
      assert(pkv.close(store))
      local bytes = read(LOG)
      local records = disk.records(bytes)
      local damaged = disk.flipped(disk.flipped(bytes, records[1].upto - 1), records[3].upto - 1)
      local size = records[3].upto - records[3].from
      write(LOG, damaged:sub(1, records[5].upto))
      local first = "log file %s is damaged at offset 0: there is no valid record, though the file had been flushed " ..
         "up to offset %d (%d bytes)"
      assert.same({
         first:format(LOG, #bytes, records[1].upto),
         ("%s is damaged at offset %d, too: there is no valid record (%d bytes)"):format(LOG, records[3].from, size),
         ("%s is damaged at offset %d, too: the file ends before what was written to it (%d bytes)")
            :format(LOG, records[6].from, #bytes - records[6].from),
      }, findings())
   end)

   it("that a log goes on where the one before it has lost its end", function()
      local store = assert(pkv.open(path))
      store.one, store.two = 1, 2
      assert(lfs.mkdir(path .. "/" .. PENDING))
      assert.is_nil((pkv.snapshot(store))) -- the next log is there by then
      store.three = 3
      assert(pkv.close(store))
      assert(lfs.rmdir(path .. "/" .. PENDING))
      local records = disk.records(read(LOG))
      write(LOG, read(LOG):sub(1, records[2].from))
      local manifest = internals.manifest_read(path)
      manifest.logs[1].shards[1].size = 0
      manifest.clean = false
      assert(internals.manifest_write(path, manifest))
      local orphan = disk.names(path)[2]
      says(("log file %s was flushed up to offset %d, but the log before it has lost what followed its offset %d")
         :format(orphan, #read(orphan), records[2].from))
   end)

   it("that a repair in place was interrupted", function()
      make()
      assert(lfs.mkdir(path .. "/repaired"))
      assert(os.rename(path .. "/" .. LOG, path .. "/repaired/snapshot_1_0-of-1_pending.bin"))
      assert.same({
         "Missing snapshot shard: log file " .. LOG .. " is listed in the manifest, but not there",
         "a repair in place was interrupted: another one ends it, and the store can be opened again",
      }, findings())
      local repaired, message = pkv.repair(path)
      assert.is_nil(repaired)
      assert.equal(("an earlier repair of store %s in place was interrupted: another one in place ends it")
         :format(path), message)
   end)
end)

describe("a repair says", function()
   it("to say what keys are", function()
      make()
      disk.remove(path, "manifest")
      local repaired, message = pkv.repair(path)
      assert.is_nil(repaired)
      local said = "no manifest tells what kind of keys store %s has: say it with the option keys"
      assert.equal(said:format(path), message)
   end)

   it("which files are missing", function()
      local store = assert(pkv.open(path, { wal_shards = 3 }))
      for i = 1, 30 do store["key " .. i] = i end
      assert(pkv.close(store))
      for shard = 1, 2 do disk.remove(path, ("snapshot_1_%d-of-3_diff.bin"):format(shard)) end
      disk.remove(path, "manifest")
      local report = assert(pkv.repair(path, { keys = "string" }))
      assert.equal("snapshot_1_1-of-3_diff.bin is not there, nor are 1 more of its 3 files: all their records are lost",
                   report.findings[1].message)
   end)

   it("what it skips", function()
      make()
      local records = disk.records(read(LOG))
      local size = #read(LOG)
      write(LOG, disk.flipped(read(LOG), records[1].upto - 1):sub(1, records[2].upto))
      local said = {}
      for i, finding in ipairs(assert(pkv.repair(path)).findings) do said[i] = finding.message end
      assert.same({
         ("skipped %d bytes of %s from offset 0: no record can be read"):format(records[1].upto, LOG),
         ("skipped %d bytes of %s from offset %d: the file ends before what was written to it")
            :format(size - records[3].from, LOG, records[3].from),
         ("1 records read of %s, 2 ranges skipped"):format(LOG),
      }, said)
   end)
end)
