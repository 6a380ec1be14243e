--- Folders that earlier versions wrote open for ever. spec/fixtures/v1 was written by the first one,
-- in format 1: a store after a clean close, one as its process left it when it was killed, and one of
-- integer keys; each with a snapshot, a backup of one, and a log behind it.
local pkv = require "pkv"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"
local disk = require "spec.support.disk"

local fixtures = "spec/fixtures/v1/"

after_each(disk.clean)

local function expected(key)
   return {
      [key(1)] = "a string", [key(2)] = "", [key(3)] = "\0\255", [key(4)] = 42, [key(5)] = -0.5, [key(6)] = false,
      [key(7)] = { level = 3, pos = { 1.5, 2 }, [true] = "yes", [7] = { {} } },
      [key(8)] = ("long "):rep(2000), [key(10)] = "set after the snapshot", [key(11)] = compat.mininteger,
   }
end

local function name(i) return i == 1 and "" or "key " .. i end
local function integer(i) return i == 4 and compat.mininteger or i * -1000 end

for folder, options in pairs {
   clean = { key = name }, killed = { key = name }, integers = { key = integer, keys = "i64" },
} do
   describe("a folder of format 1, " .. folder .. ",", function()
      local content = expected(options.key)

      it("opens and holds what it held", function()
         local path = disk.copy(fixtures .. folder)
         for _ = 1, 2 do
            local store = assert(pkv.open(path, { keys = options.keys }))
            assert.is_true(helper.same(content, helper.content(store)))
            assert(pkv.close(store))
         end
      end)

      it("is gone on with", function()
         local path = disk.copy(fixtures .. folder)
         local store = assert(pkv.open(path, { keys = options.keys }))
         store[options.key(9)] = "nine"
         store[options.key(8)] = nil
         assert(pkv.snapshot(store))
         assert(pkv.close(store))
         store = assert(pkv.open(path, { keys = options.keys }))
         assert.equal("nine", store[options.key(9)])
         assert.is_nil(store[options.key(8)])
         assert.equal(42, store[options.key(4)])
         assert(pkv.close(store))
      end)
   end)
end
