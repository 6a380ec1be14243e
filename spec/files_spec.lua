--- What a folder may hold beside the files that its manifest lists, and what is made of a manifest
-- that does not fit the files.
local lfs = require "lfs"
local pkv = require "pkv"
local internals = require "pkv_internals"
local command = require "spec.support.command"
local disk = require "spec.support.disk"
local helper = require "spec.support.helper"

local LOG, NEXT_LOG = "snapshot_1_0-of-1_diff.bin", "snapshot_3_0-of-1_diff.bin"
local SNAPSHOT, CORRUPT = "snapshot_2_0-of-1_full.bin", 5

local path
before_each(function() path = disk.folder() end)
after_each(disk.clean)

--- A closed store: a snapshot if wanted, and a log; what is in it.
local function make(with_snapshot)
   local store = assert(pkv.open(path, { snapshot_interval = false }))
   for i = 1, 10 do store["key " .. i] = i end
   if with_snapshot then assert(pkv.snapshot(store)) end
   store.last = "one"
   local content = helper.content(store)
   assert(pkv.close(store))
   return content
end

local function change_manifest(change)
   local manifest = assert(internals.manifest_read(path))
   change(manifest)
   assert(internals.manifest_write(path, manifest))
end

--- Opening is refused as corrupt, and changes nothing. The message names `name`.
local function is_refused(name)
   local before = disk.files(path)
   local store, message, code = pkv.open(path)
   assert.is_nil(store)
   assert.equal("corrupt", code, message)
   assert.match(name, message, 1, true)
   assert.same(before, disk.files(path))
   return message
end

describe("a folder without files", function()
   it("is no store, and gets no lock file where none is wanted", function()
      assert(lfs.mkdir(path))
      local store, message, code = pkv.open(path, { create = false })
      assert.is_nil(store)
      assert.equal("not_found", code)
      assert.match(path, message, 1, true)
      assert.same({}, helper.files(path))
      assert.is_nil((pkv.prune_backups(path, 0)))
      assert.same({}, helper.files(path))
   end)
end)

describe("a file that the manifest does not list", function()
   it("but whose ordinal was given to others, is a leftover: it is removed", function()
      local content = make()
      helper.write(path .. "/snapshot_1_0-of-2_diff.bin", "from some failed attempt")
      assert.same(content, helper.content_of(path))
      assert.same({ LOG }, disk.names(path))
   end)

   it("is none of ours where it is no file that can be read", function()
      local content = make()
      for _, plant in ipairs {
         function(name) assert(lfs.link("/dev/null", name, true)) end,
         function(name) assert(lfs.mkdir(name)) end,
      } do
         plant(path .. "/snapshot_9_0-of-1_diff.bin")
         is_refused "snapshot_9_0-of-1_diff.bin"
         assert(os.remove(path .. "/snapshot_9_0-of-1_diff.bin"))
      end
      assert.same(content, helper.content_of(path))
   end)

   it("is none of ours where it is a snapshot that was never written", function()
      local content = make()
      helper.write(path .. "/snapshot_9_0-of-1_full.bin", "")
      is_refused "snapshot_9_0-of-1_full.bin"
      disk.remove(path, "snapshot_9_0-of-1_full.bin")
      assert.same(content, helper.content_of(path))
   end)

   it("and that another program writes while the store is open, stays", function()
      local store = assert(pkv.open(path))
      local foreign = "snapshot_9_0-of-1_diff.bin"
      helper.write(path .. "/" .. foreign, "\x0b\x0a\x01b\x12\x06theirs")
      store.a = "ours"
      assert(pkv.snapshot(store))
      assert(pkv.close(store))
      assert.equal("\x0b\x0a\x01b\x12\x06theirs", helper.read(path .. "/" .. foreign))
      is_refused(foreign)
   end)

   it("has an ordinal that the crate never gives, where it is 0", function()
      assert(lfs.mkdir(path))
      helper.write(path .. "/snapshot_0_0-of-1_diff.bin", "\x0b\x0a\x01b\x12\x06theirs")
      local store, message, code = pkv.open(path)
      assert.is_nil(store)
      assert.equal("usage", code)
      assert.match("ordinal 0 ", message, 1, true)
   end)
end)

describe("files without a manifest", function()
   it("that contradict each other are told one after the other by pkv check", function()
      assert(lfs.mkdir(path))
      for _, name in ipairs { "snapshot_1_0-of-1_diff.bin", "snapshot_1_0-of-1_full.bin",
                              "snapshot_2_0-of-2_diff.bin", "snapshot_3_0-of-1_diff.bin" } do
         helper.write(path .. "/" .. name, "")
      end
      local code, out = command("check", path)
      assert.equal(CORRUPT, code)
      local found = select(2, out:gsub("[^\n]*damaged snapshot_[12]_[^\n]*", ""))
      assert.equal(2, found, out)
   end)
end)

describe("a manifest", function()
   it("that says how else keys were hashed makes a new log begin", function()
      local content = make()
      change_manifest(function(m) m.hash_check = m.hash_check ~ 1 end)
      content["key 1"] = nil
      local store = assert(pkv.open(path))
      store["key 1"] = nil
      assert(pkv.close(store))
      assert.same({ LOG, "snapshot_2_0-of-1_diff.bin" }, disk.names(path))
      assert.same(content, helper.content_of(path))
      assert.same({ LOG, "snapshot_2_0-of-1_diff.bin" }, disk.names(path))
   end)

   it("of files of the crate's, as a process leaves it that dies before its own log, is gone on with", function()
      assert(lfs.mkdir(path))
      helper.write(path .. "/" .. LOG, "\x0b\x0a\x01a\x12\x06theirs")
      assert.same({ a = "theirs" }, helper.content_of(path))
      change_manifest(function(m)
         m.logs[2] = nil
         m.last_ordinal, m.clean = 1, false
      end)
      disk.remove(path, "snapshot_2_0-of-1_diff.bin")
      for i = 1, 2 do
         local store = assert(pkv.open(path))
         assert.equal("theirs", store.a)
         assert.equal(i > 1 and i - 1 or nil, store.b)
         store.b = i
         assert(pkv.close(store))
      end
      assert.same({ LOG, "snapshot_2_0-of-1_diff.bin" }, disk.names(path))
   end)

   it("that counts other records in a snapshot, or has another checksum of it, is not believed", function()
      local content = make(true)
      for field, what in pairs { entries = "records are missing", checksum = "checksum is wrong" } do
         local value
         change_manifest(function(m)
            value = m.snapshots[1].shards[1][field]
            m.snapshots[1].shards[1][field] = value ~ 1
         end)
         assert.match(what, is_refused(SNAPSHOT), 1, true)
         change_manifest(function(m) m.snapshots[1].shards[1][field] = value end)
      end
      assert.same(content, helper.content_of(path))
   end)

   it("that says a log was flushed, though the one before it lost its end, tells damage", function()
      disk.killed(path, [[
         local store = assert(pkv.open(path))
         store.one = 1
         assert(require "lfs".mkdir(path .. "/snapshot_2_0-of-1_pending.bin"))
         assert(not pkv.snapshot(store))
         store.two = 2]])
      assert(os.remove(path .. "/snapshot_2_0-of-1_pending.bin"))
      helper.write(path .. "/" .. LOG, helper.read(path .. "/" .. LOG):sub(1, -2))
      change_manifest(function(m) m.logs[2].shards[1].size = 5 end)
      assert.match("flushed up to offset 5, but the log before it has lost", is_refused(NEXT_LOG), 1, true)
      change_manifest(function(m) m.logs[2].shards[1].size = 0 end)
      assert.same({}, helper.content_of(path))
   end)
end)
