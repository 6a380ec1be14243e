--- What each sync mode keeps, and what a full disk does: an error before anything has changed.
local pkv = require "pkv"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"
local disk = require "spec.support.disk"

local stride = math.min(helper.stride, 11)
local ios = { "mmap", "pwrite" }
local syncs = { "os", "always", "buffered", 0.002 }

for _, wal_io in ipairs(ios) do
   for _, sync in ipairs(syncs) do
      describe(("with sync = %s and wal_io = %s"):format(sync, wal_io), function()
         local path, options
         before_each(function()
            path = disk.folder()
            options = { sync = sync, wal_io = wal_io, snapshot_interval = false }
         end)
         after_each(disk.clean)

         it("all that was written is there after each close", function()
            local expected = {}
            for round = 1, 4 do
               options.wal_shards = math.floor(round / 2) + 1
               local store = assert(pkv.open(path, options))
               assert.equal(wal_io, pkv.stats(store).wal_io)
               assert.same(expected, helper.content(store))
               for i = 1, 300 do
                  local key, value = "key " .. (i * round) % 400, ("v"):rep(i % 50) .. round
                  store[key], expected[key] = value, value
               end
               store["key 1"], expected["key 1"] = nil, nil
               if round == 3 then assert(pkv.snapshot(store)) end
               assert(pkv.close(store))
            end
            assert.same(expected, helper.content_of(path))
         end)

         it("all that was written before pkv.sync has been flushed when it returns", function()
            local store = assert(pkv.open(path, options))
            store.a = 1
            local flushes = pkv.stats(store).flushes
            assert(pkv.sync(store))
            if sync ~= "always" and type(sync) ~= "number" then
               assert.equal(flushes + 1, pkv.stats(store).flushes)
               assert(pkv.sync(store))
               assert.equal(flushes + 1, pkv.stats(store).flushes) -- nothing new to flush
            end
            store.b = 2
            assert(pkv.close(store))
            assert.same({ a = 1, b = 2 }, helper.content_of(path))
         end)

         it("flushes when the mode says so", function()
            local store = assert(pkv.open(path, options))
            for i = 1, 10 do store.key = i end
            if sync == "always" then
               assert.equal(10, pkv.stats(store).flushes)
            elseif type(sync) == "number" then
               disk.wait(function() return pkv.stats(store).flushes > 0 end)
            else
               assert.equal(0, pkv.stats(store).flushes)
            end
            assert(pkv.close(store))
         end)
      end)
   end
end

describe("what a process that dies has synced", function()
   local path
   before_each(function() path = disk.folder() end)
   after_each(disk.clean)

   it("is there, also with sync = buffered, which may lose the rest", function()
      for _, wal_io in ipairs(ios) do
         local folder = disk.folder()
         disk.killed(folder, ([[
            local store = assert(pkv.open(path, { sync = "buffered", wal_io = %q }))
            for i = 1, 50 do store["key " .. i] = i end
            assert(pkv.sync(store))
            for i = 51, 60 do store["key " .. i] = i end]]):format(wal_io))
         local content, count = helper.content_of(folder), 0
         while content["key " .. count + 1] == count + 1 do count = count + 1 end
         assert.is_true(count >= 50)
         for i = count + 1, 60 do assert.is_nil(content["key " .. i]) end
      end
   end)

   it("is there with a flush every so often, once there has been one", function()
      disk.killed(path, [[
         local store = assert(pkv.open(path, { sync = 0.001, wal_io = "pwrite" }))
         store.a = 1
         while pkv.stats(store).flushes == 0 do end]])
      assert.same({ a = 1 }, helper.content_of(path))
   end)
end)

-- ---- A full disk: a file system of its own, in memory

local PAGE = 4096
local mounted

local function mount(size)
   local folder = helper.folder("disk")
   assert.equal(0, compat.execute("mkdir " .. folder))
   if compat.execute(("mount -t tmpfs -o size=%s pkv-spec %s 2>/dev/null"):format(size, folder)) == 0 then
      mounted = folder
      return folder
   end
   pending("only where file systems can be mounted")
end

local function unmount()
   collectgarbage()
   if mounted then os.execute("umount -l " .. mounted) end
   mounted = nil
   disk.clean()
end

--- Fills the disk but for so many pages. Other files may follow once `make_room` has been called.
local function fill(pages)
   local page = ("x"):rep(PAGE)
   for i = 1, pages do helper.write(("%s/room-%d"):format(mounted, i), page) end
   local filler = assert(io.open(mounted .. "/filler", "wb"))
   filler:setvbuf("no")
   while filler:write(page) do end
   filler:close()
   for i = 1, pages do assert(os.remove(("%s/room-%d"):format(mounted, i))) end
end

local function make_room() assert(os.remove(mounted .. "/filler")) end

describe("a full disk", function()
   after_each(unmount)

   --- Sets until that fails; what has been set is in `expected`.
   local function set_until_full(store, expected, size)
      for i = 1, 1000000 do
         local key, value = "key " .. i % 3000, ("%d "):format(i):rep(math.floor(size / 8) + 1)
         local done, message, code = pkv.set(store, key, value)
         if not done then return key, message, code end
         expected[key] = value
      end
      error "the disk never was full"
   end

   for _, wal_io in ipairs(ios) do
      for _, sync in ipairs { "os", "always", "buffered" } do
         local options = { sync = sync, wal_io = wal_io, wal_shards = 2, snapshot_interval = false }

         it(("is an error that changes nothing, with sync = %s and wal_io = %s"):format(sync, wal_io), function()
            if not mount "8m" then return end
            local path = mounted .. "/store"
            for _, size in ipairs { 100, 30000 } do
               local store = assert(pkv.open(path, options))
               local expected = helper.content(store)
               expected.kept, store.kept = 1, 1
               fill(70)
               local key, message, code = set_until_full(store, expected, size)
               assert.equal("no_space", code)
               assert.match("snapshot_%d+_%d%-of%-2_diff.bin", message)
               assert.match("No space left on device", message)
               assert.same(expected, helper.content(store))
               assert.equal(expected[key], store[key])
               local large = ("x"):rep(500000)
               assert.match("no space", helper.raised(function() store.kept = large end):lower())
               local _, _, again = pkv.set(store, "new", large)
               assert.equal("no_space", again)
               assert.equal(1, store.kept)
               assert.is_nil(store.new)
               assert.same(expected, helper.content(store))
               make_room()
               store.kept, expected.kept = 2, 2
               store["key 1"], expected["key 1"] = nil, nil
               assert.is_true(pkv.set(store, "large", large))
               expected.large = large
               assert(pkv.close(store))
               assert.same(expected, helper.content_of(path))
               store = assert(pkv.open(path))
               store.large = nil
               assert(pkv.snapshot(store)) -- room for the next round
               assert(pkv.snapshot(store))
               assert(pkv.close(store))
            end
         end)
      end
   end

   it("may be full when the store is closed, or its process dies", function()
      if not mount "1m" then return end
      local store = assert(pkv.open(mounted .. "/store", { snapshot_interval = false }))
      local expected = {}
      fill(20)
      set_until_full(store, expected, 100)
      pkv.close(store) -- may fail
      make_room()
      assert.same(expected, helper.content_of(mounted .. "/store"))

      fill(40)
      disk.killed(mounted .. "/store", [[
         local store = assert(pkv.open(path, { snapshot_interval = false }))
         local i = 0
         repeat
            i = i + 1
         until not pkv.set(store, "new " .. i, i)
         print(i)]])
      make_room()
      local content = helper.content_of(mounted .. "/store")
      local count = 0
      while content["new " .. count + 1] do
         count = count + 1
         expected["new " .. count] = count
      end
      assert.is_true(count > 0)
      assert.same(expected, content)
   end)

   it("may be full when it is opened: an error, or not, but nothing is lost", function()
      if not mount "1m" then return end
      local path, expected = mounted .. "/store", {}
      local opened, refused = 0, 0
      for pages = 0, 40, 2 * stride do
         fill(pages)
         local store, _, code = pkv.open(path, { wal_shards = pages % 3 + 1, snapshot_interval = false })
         if store then
            opened = opened + 1
            assert.same(expected, helper.content(store))
            pkv.close(store)
         else
            refused = refused + 1
            assert.equal("no_space", code)
         end
         make_room()
         store = assert(pkv.open(path))
         assert.same(expected, helper.content(store))
         store["key " .. pages], expected["key " .. pages] = pages, pages
         assert(pkv.close(store))
      end
      assert.is_true(opened > 0 and refused > 0)
   end)

   --- A snapshot with so many pages left on the disk: succeeds or fails with no_space.
   local function snapshot_with(pages, path, then_what)
      local store = assert(pkv.open(path, { wal_shards = 2, snapshot_interval = false, keep_backups = 0,
                                            snapshot_threads = 1 }))
      for i = 1, 200 do store["key " .. i] = pages + i end
      local expected = helper.content(store)
      fill(pages)
      local done, message, code = pkv.snapshot(store)
      if not done then assert.equal("no_space", code, message) end
      assert.same(expected, helper.content(store))
      make_room()
      store.after, expected.after = pages, pages
      then_what(store, path)
      assert.same(expected, helper.content_of(path), pages .. " pages")
      store = assert(pkv.open(path))
      store["one more"], expected["one more"] = pages, pages
      assert(pkv.snapshot(store))
      assert(pkv.close(store))
      assert.same(expected, helper.content_of(path), pages .. " pages, later")
      return done
   end

   for what, f in pairs {
      ["the store is closed"] = function(store) assert(pkv.close(store)) end,
      ["another one succeeds"] = function(store)
         assert(pkv.snapshot(store))
         assert(pkv.close(store))
      end,
      ["the folder is copied as a dead process leaves it"] = function(store, path)
         local copy = disk.copy(path)
         assert.same(helper.content(store), helper.content_of(copy))
         assert(pkv.close(store))
      end,
   } do
      it("makes a snapshot fail, with any room that is left, and then " .. what, function()
         if not mount "1m" then return end
         local succeeded, failed = 0, 0
         local function try(pages)
            if snapshot_with(pages, mounted .. "/store", f) then
               succeeded = succeeded + 1
            else
               failed = failed + 1
            end
         end
         for pages = 0, 44, stride do try(pages) end
         try(120) -- whatever the log makes ahead meanwhile
         assert.is_true(succeeded > 0 and failed > 0)
      end)
   end

   it("makes a snapshot fail that is then tried again by itself", function()
      if not mount "2m" then return end
      local store = assert(pkv.open(mounted .. "/store", { snapshot_interval = false }))
      for i = 1, 100 do store["key " .. i] = ("x"):rep(4000) end
      assert(pkv.close(store))
      store = assert(pkv.open(mounted .. "/store", { snapshot_interval = 1 }))
      fill(20)
      store.due = true
      disk.wait(function() return pkv.stats(store).snapshot_failures > 0 end)
      assert.match("No space left", pkv.stats(store).last_failure)
      make_room()
      disk.wait(function() return pkv.stats(store).snapshots > 0 end)
      local expected = helper.content(store)
      assert.is_true(expected.due)
      assert(pkv.close(store))
      assert.same(expected, helper.content_of(mounted .. "/store"))
   end)

   it("that has room again lets the log's growth call for a snapshot, as before", function()
      if not mount "220m" then return end
      local store = assert(pkv.open(mounted .. "/store"))
      fill(100)
      set_until_full(store, {}, 1000)
      make_room()
      local large = ("x"):rep(2 ^ 20)
      for i = 1, 90 do
         large = i .. large
         store.large = large
      end
      disk.wait(function() return pkv.stats(store).snapshots > 0 end)
      assert(pkv.close(store))
   end)
end)
