--- What lies on the disk is the owner's alone: modes under any umask, and no link is followed.
local lfs = require "lfs"
local pkv = require "pkv"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"

local path, outside

before_each(function()
   path = helper.folder()
   outside = path .. "-outside"
   helper.write(outside, "somebody else's")
end)
after_each(helper.clean)

local interpreter = os.getenv("LUA") or "lua5.4"

--- Runs Lua code under a umask.
local function run_under(umask, code)
   local script = path .. "-script"
   helper.write(script, code)
   assert.equal(0, compat.execute(("umask %s && %s %s %s"):format(umask, interpreter, script, path)))
end

local function modes()
   local found = {}
   for name in lfs.dir(path) do
      if name ~= "." and name ~= ".." then found[name] = lfs.symlinkattributes(path .. "/" .. name, "permissions") end
   end
   return found
end

describe("every file is its owner's alone", function()
   for _, umask in ipairs { "000", "022", "077", "277", "777" } do
      it("under umask " .. umask, function()
         assert(lfs.mkdir(path))
         run_under(umask, [[
            local pkv = require "pkv"
            local store = assert(pkv.open(arg[1], { wal_shards = 2 }))
            store.a = 1
            assert(pkv.snapshot(store))
            store.b = 2
            assert(pkv.snapshot(store))
            os.exit(0) -- with the log's room still there]])
         local found, count = modes(), 0
         for name, mode in pairs(found) do
            assert.equal("rw-------", mode, name)
            count = count + 1
         end
         assert.is_true(count >= 6)
      end)
   end

   it("and so is a folder that is created, with its parents", function()
      local store = assert(pkv.open(path .. "/deep/down"))
      assert(pkv.close(store))
      for _, folder in ipairs { path, path .. "/deep", path .. "/deep/down" } do
         assert.equal("rwx------", lfs.attributes(folder, "permissions"))
      end
   end)
end)

describe("a link planted under a file's name is not followed", function()
   local function plant(name)
      os.remove(path .. "/" .. name)
      assert(lfs.link(outside, path .. "/" .. name, true))
   end

   local function is_untouched()
      assert.equal("somebody else's", helper.read(outside))
   end

   for _, name in ipairs { "lockfile", "manifest" } do
      it("as " .. name, function()
         assert(lfs.mkdir(path))
         plant(name)
         local store, message, code = pkv.open(path)
         assert.is_nil(store)
         assert.equal("io", code)
         assert.match(name, message, 1, true)
         is_untouched()
      end)
   end

   for _, name in ipairs { "snapshot_1_0-of-1_diff.bin", "snapshot_2_0-of-1_full.bin", "snapshot_3_0-of-1_diff.bin" } do
      it("in place of " .. name, function()
         local store = assert(pkv.open(path))
         store.a = 1
         if name ~= "snapshot_1_0-of-1_diff.bin" then assert(pkv.snapshot(store)) end
         assert(pkv.close(store))
         plant(name)
         local opened, message, code = pkv.open(path)
         assert.is_nil(opened)
         assert.equal("io", code)
         assert.match(name, message, 1, true)
         is_untouched()
      end)
   end

   -- Names of files that are to be created: what is there is replaced, or refused, never written through.
   for _, name in ipairs { "manifest.new", "snapshot_2_0-of-1_pending.bin", "snapshot_2_0-of-1_full.bin" } do
      it("where " .. name .. " is to be created", function()
         local store = assert(pkv.open(path))
         store.a = 1
         plant(name)
         assert(pkv.snapshot(store))
         store.b = 2
         assert(pkv.close(store))
         is_untouched()
         store = assert(pkv.open(path))
         assert.same({ a = 1, b = 2 }, helper.content(store))
         assert(pkv.close(store))
         is_untouched()
         for file, mode in pairs(modes()) do assert.equal("rw-------", mode, file) end
      end)
   end

   it("where a log file is to be created", function()
      local store = assert(pkv.open(path))
      store.a = 1
      plant "snapshot_3_0-of-1_diff.bin"
      local done, message, code = pkv.snapshot(store)
      assert.is_nil(done)
      assert.equal("io", code)
      assert.match("snapshot_3_0-of-1_diff.bin", message, 1, true)
      is_untouched()
      os.remove(path .. "/snapshot_3_0-of-1_diff.bin")
      assert(pkv.snapshot(store))
      assert(pkv.close(store))
   end)

   it("while a link to the folder itself is", function()
      local store = assert(pkv.open(path))
      store.a = 1
      assert(lfs.link(path, path .. "-link", true))
      local same = assert(pkv.open(path .. "-link"))
      assert.equal(1, same.a)
      assert(pkv.close(same))
      assert(pkv.close(store))
   end)
end)

describe("what is no regular file is refused at once, and nothing hangs", function()
   it("where a pipe has the name of the manifest, the lock or a log", function()
      for _, name in ipairs { "manifest", "lockfile", "snapshot_1_0-of-1_diff.bin" } do
         assert(lfs.mkdir(path))
         assert.equal(0, compat.execute(("mkfifo %s/%s"):format(path, name)))
         local store, message, code = pkv.open(path)
         assert.is_nil(store)
         assert.equal("io", code)
         assert.match(name, message, 1, true)
         assert.equal(0, compat.execute("rm -r " .. path))
      end
   end)
end)
