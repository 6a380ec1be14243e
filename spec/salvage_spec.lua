--- What pkv repair reads of folders that no store would leave: files that the manifest has no use
-- for, names that contradict each other, records of before there was a salt.
local lfs = require "lfs"
local pkv = require "pkv"
local internals = require "pkv_internals"
local command = require "spec.support.command"
local disk = require "spec.support.disk"
local helper = require "spec.support.helper"

local DONE, LOST = 0, 5
local LOG = "snapshot_1_0-of-1_diff.bin"
local SALT = 77

local path
before_each(function() path = disk.folder() end)
after_each(disk.clean)

--- Repairs beside the folder: the code, the output, what the new store holds.
local function repair(...)
   local output = disk.folder()
   local words = { "--output", output, ... }
   words[#words + 1] = path
   local code, out, err = command("repair", table.unpack(words))
   assert.equal("", err)
   local store = assert(pkv.open(output))
   local content = helper.content(store)
   assert(pkv.close(store))
   return code, out, content
end

--- A record as a store of this salt writes it.
local function record(key, value, ordinal, salt)
   return internals.record_encode({ key = key, value = value }, internals.checksum_seed(ordinal, salt))
end

--- A folder of files without a manifest, each with three entries: <name>.1, .2 and .3.
local function make_named(names, salt)
   assert(lfs.mkdir(path))
   local content = {}
   for _, name in ipairs(names) do
      local records, ordinal = {}, tonumber(name:match "_(%d+)_")
      for i = 1, 3 do
         local key = name .. "." .. i
         records[i], content[key] = record(key, "value", ordinal, salt), "value"
      end
      helper.write(path .. "/" .. name, table.concat(records))
   end
   return content
end

describe("pkv repair, by the manifest,", function()
   it("has no use for a log that is older than the snapshot, the crate's for instance", function()
      local store = assert(pkv.open(path))
      store.gone, store.kept = "old", "old"
      assert(pkv.close(store))
      local old, shards = helper.read(path .. "/" .. LOG), internals.manifest_read(path).logs[1].shards
      store = assert(pkv.open(path))
      store.gone = nil
      assert(pkv.snapshot(store))
      store.kept = "new"
      assert(pkv.close(store))
      local manifest = internals.manifest_read(path)
      table.insert(manifest.logs, 1, { ordinal = 1, foreign = true, shards = shards })
      assert(internals.manifest_write(path, manifest))
      helper.write(path .. "/" .. LOG, old)
      local code, out, content = repair()
      assert.equal(DONE, code, out)
      assert.same({ kept = "new" }, content)
      store = assert(pkv.open(path))
      assert.same({ kept = "new" }, helper.content(store))
      assert(pkv.close(store))
      assert.is_nil(disk.size(path, LOG))
   end)

   it("tells of a log that is missing, and keeps the rest", function()
      local store = assert(pkv.open(path))
      store.kept = "in the snapshot"
      assert(pkv.snapshot(store))
      store.lost = "in the log"
      assert(pkv.close(store))
      disk.remove(path, "snapshot_3_0-of-1_diff.bin")
      local code, out, content = repair()
      assert.equal(LOST, code)
      assert.match("damaged snapshot_3_0-of-1_diff.bin -: ", out, 1, true)
      assert.same({ kept = "in the snapshot" }, content)
   end)

   it("gives no ordinal that was given already", function()
      local store = assert(pkv.open(path))
      store.a = "1"
      assert(pkv.close(store))
      local manifest = internals.manifest_read(path)
      manifest.last_ordinal = 41
      assert(internals.manifest_write(path, manifest))
      assert.equal(DONE, (command("repair", "--in-place", path)))
      assert.same({ "snapshot_42_0-of-1_diff.bin" }, disk.names(path))
   end)
end)

describe("pkv repair, by the names of the files,", function()
   it("finds the records of a store without a salt", function()
      local content = make_named({ LOG, "snapshot_2_0-of-1_diff.bin" }, 0)
      local code, out, found = repair("--keys", "string")
      assert.equal(DONE, code, out)
      assert.same(content, found)
      helper.write(path .. "/" .. LOG, disk.flipped(helper.read(path .. "/" .. LOG), 50))
      code, out, found = repair("--keys", "string")
      assert.equal(LOST, code, out) -- so the checksums are believed
      content[LOG .. ".2"] = nil
      assert.same(content, found)
   end)

   it("takes files that begin with zeros, or hold nothing else, for ours", function()
      local later = "snapshot_2_0-of-1_diff.bin"
      local content = make_named({ LOG, later }, SALT)
      helper.write(path .. "/" .. later, ("\0"):rep(100) .. helper.read(path .. "/" .. later))
      helper.write(path .. "/snapshot_3_0-of-1_diff.bin", ("\0"):rep(100))
      local _, _, found = repair("--keys", "string")
      assert.same(content, found)
   end)

   it("knows the crate's files among ours", function()
      local content = make_named({ LOG }, SALT)
      helper.write(path .. "/snapshot_2_0-of-1_diff.bin", "\x0b\x0a\x01b\x12\x06theirs")
      content.b = "theirs"
      local code, out, found = repair("--keys", "string")
      assert.equal(DONE, code, out)
      assert.same(content, found)
   end)

   it("finds nothing where nothing is", function()
      assert(lfs.mkdir(path))
      helper.write(path .. "/" .. LOG, ("\0"):rep(100))
      local code, out, content = repair("--keys", "string")
      assert.equal(DONE, code, out)
      assert.same({}, content)
   end)

   it("reads all files of an ordinal whose names contradict each other, and each once", function()
      local names = { "snapshot_2_0-of-2_diff.bin", "snapshot_2_0-of-2_full.bin", "snapshot_2_0-of-3_full.bin",
                      "snapshot_2_1-of-3_full.bin" }
      local content = make_named(names, SALT)
      helper.write(path .. "/snapshot_2_0-of-2_pending.bin", record("never", "finished", 2, SALT))
      helper.write(path .. "/snapshot_9_0-of-2_pending.bin", record("never", "finished", 9, SALT))
      local code, out, found = repair("--keys", "string")
      assert.equal(LOST, code)
      assert.match("damaged snapshot_2_1-of-2_full.bin -: ", out, 1, true)
      assert.same(content, found)
   end)

   it("reads older snapshots only if it is told to", function()
      local content = make_named({ "snapshot_2_0-of-1_full.bin", "snapshot_4_0-of-1_full.bin" }, SALT)
      local code, out, found = repair("--keys", "string", "--with-backups")
      assert.equal(DONE, code, out)
      assert.same(content, found)
      for i = 1, 3 do content["snapshot_2_0-of-1_full.bin." .. i] = nil end
      code, out, found = repair("--keys", "string")
      assert.equal(DONE, code, out)
      assert.same(content, found)
   end)
end)
