--- Keys and values of every size, up to the limits and just past them, and sizes near those that the
-- log, the snapshot and memory work in: all come back, from the log and from a snapshot.
local pkv = require "pkv"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"
local disk = require "spec.support.disk"

local pairs = compat.pairs

local MIB = 2 ^ 20
local KEY_MAX = 16 * MIB

local stride = math.min(helper.stride, 10)

local path
before_each(function() path = disk.folder() end)
after_each(disk.clean)

local function bytes(size, seed)
   local block = {}
   for i = 1, 512 do block[i] = string.char((i * i * 40503 + (i + seed) * 977) % 256) end
   local text = table.concat(block)
   return text:rep(math.floor(size / #text) + 1):sub(1, size)
end

--- The same content, without the text of both in the message.
local function is_content(expected, store, what)
   local count = 0
   for key, value in pairs(store) do
      count = count + 1
      if expected[key] ~= value then error(("%s: a key of %d bytes has another value"):format(what, #key)) end
   end
   local size = 0
   for _ in pairs(expected) do size = size + 1 end
   assert.equal(size, count, what)
   for key, value in pairs(expected) do assert.is_true(store[key] == value, what) end
end

--- What is there comes back from the log, from a snapshot, and from the log of a process that died.
local function comes_back(expected, options)
   for _, how in ipairs { "log", "snapshot", "again" } do
      local store = assert(pkv.open(path, options))
      is_content(expected, store, how)
      if how == "log" then assert(pkv.snapshot(store)) end
      assert(pkv.close(store))
   end
end

local function set_all(store, entries)
   for key, value in pairs(entries) do store[key] = value end
end

for _, wal_io in ipairs { "mmap", "pwrite" } do
   local options = { values = "string", wal_io = wal_io, snapshot_interval = false }

   describe("with wal_io = " .. wal_io .. ",", function()
      it("empty, odd and large keys and values come back", function()
         local store = assert(pkv.open(path, options))
         local expected = {
            [""] = "the empty key", ["empty"] = "", ["\0"] = "\0", ["\0\0"] = "", ["a\0b"] = "c\0\0d\0",
            [bytes(70000, 1)] = "a large key", ["large"] = bytes(5 * MIB, 2),
            [bytes(70000, 3)] = bytes(70000, 4), ["last"] = "1",
         }
         set_all(store, expected)
         is_content(expected, store, "set")
         assert(pkv.close(store))
         comes_back(expected, options)
      end)

      it("the empty key may be the one that is unset", function()
         local store = assert(pkv.open(path, options))
         store[""], store.other = "there", ""
         store[""] = nil
         assert(pkv.close(store))
         comes_back({ other = "" }, options)
      end)

      it("values of all sizes near a power of two come back, and shrink and grow in place", function()
         local store, expected = assert(pkv.open(path, options)), {}
         for power = 0, 19 do
            for difference = -30, 30, (power < 10 and 1 or 6) * stride do
               local size = 2 ^ power + difference
               if size >= 0 then expected[("%d%+d"):format(power, difference)] = bytes(size, power) end
            end
         end
         set_all(store, expected)
         is_content(expected, store, "set")
         for key, value in pairs(expected) do
            expected[key] = #value > 5000 and value:sub(-10) or value .. value
            store[key] = expected[key]
         end
         is_content(expected, store, "set again")
         assert(pkv.close(store))
         comes_back(expected, options)
      end)

      it("a record that fills what a file is read by is not the last one", function()
         for extra = -40, 40, 8 * stride do
            local folder = disk.folder()
            local store, expected = assert(pkv.open(folder, options)), {}
            for i, size in ipairs { 256 * 1024 + extra, 10, 300 * 1024 + extra, 10, 64 * 1024 + extra, 10, 10 } do
               expected["key " .. i] = bytes(size, i)
               store["key " .. i] = expected["key " .. i]
            end
            assert(pkv.close(store))
            store = assert(pkv.open(folder, options))
            is_content(expected, store, extra)
            assert(pkv.close(store))
         end
      end)
   end)
end

describe("the log's files may end anywhere:", function()
   it("a store closed after each of many records of any size goes on", function()
      local expected = {}
      for round = 1, 60, stride do
         local store = assert(pkv.open(path, { values = "string", wal_io = round % 3 == 0 and "pwrite" or "mmap" }))
         for i = 1, 3 do
            local value = bytes((round * 977 * i) % 9001, round)
            expected["key " .. round % 20 * i] = value
            store["key " .. round % 20 * i] = value
         end
         assert(pkv.close(store))
      end
      comes_back(expected, { values = "string" })
   end)
end)

describe("the limits:", function()
   it("a key of 16 MiB is the largest", function()
      local store = assert(pkv.open(path, { values = "string" }))
      local largest = bytes(KEY_MAX, 1)
      assert.is_true(pkv.set(store, largest, "value"))
      local done, message, code = pkv.set(store, largest .. "x", "value")
      assert.is_nil(done)
      assert.equal("too_large", code)
      assert.match(("%d bytes"):format(KEY_MAX + 1), message, 1, true)
      assert.match(("%d bytes at most"):format(KEY_MAX), message, 1, true)
      assert.match("16777217 bytes", helper.raised(function() store[largest .. "x"] = "value" end))
      assert.equal("value", store[largest])
      assert.equal(1, #store)
      assert(pkv.close(store))
      comes_back({ [largest] = "value" }, { values = "string" })
   end)

   it("a value over a chunk, a log's segment and a snapshot's buffer at once comes back", function()
      local store = assert(pkv.open(path, { values = "string", sync = "always" }))
      local expected = { large = bytes(20 * MIB + 1, 1), small = "1" }
      set_all(store, expected)
      store.large = "replaced"
      store.large = expected.large
      assert(pkv.close(store))
      comes_back(expected, { values = "string" })
   end)
end)
