--- Keys: any string, or integers of one type; never mixed up.
local pkv = require "pkv"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"

local raised, same = helper.raised, helper.same
local maxinteger, mininteger = compat.maxinteger, compat.mininteger

local path, store
local function open(options)
   path = helper.folder()
   store = assert(pkv.open(path, options))
   return store
end

local function reopen(options)
   assert(pkv.close(store))
   store = assert(pkv.open(path, options))
   return store
end

local function clean()
   pkv.close(store)
   helper.clean()
end

describe("string keys", function()
   after_each(clean)

   it("may be any bytes: empty, with zeros, 70 kB", function()
      open()
      local expected = { [""] = "empty", ["\0"] = "zero", ["\0\0"] = "zeros", ["a\0b"] = 1, ["a\0c"] = 2,
                         ["\255\254"] = 3, [("k"):rep(70000)] = "long", [("k"):rep(70001)] = "longer" }
      for key, value in pairs(expected) do store[key] = value end
      assert.is_true(same(expected, helper.content(store)))
      reopen()
      assert.is_true(same(expected, helper.content(store)))
      for key, value in pairs(expected) do
         assert.equal(value, store[key])
         assert.is_true(pkv.unset(store, key))
      end
      assert.equal(0, #store)
   end)

   it("are the default, and may be asked for", function()
      open { keys = "string" }
      store.a = 1
      reopen()
      assert.equal(1, store.a)
   end)

   it("are never confused with numbers: 1 is not \"1\"", function()
      open()
      store["1"] = "string"
      for _, key in ipairs { 1, 1.0, 2.5, 0 / 0 } do
         local said = 'key must be a string (the store has keys = "string"), got number ' .. tostring(key)
         assert.equal(said, raised(pkv.get, store, key))
         assert.equal(said, raised(pkv.set, store, key, 1))
         assert.equal(said, raised(pkv.unset, store, key))
         assert.match(said, raised(function() return store[key] end), 1, true)
         assert.match(said, raised(function() store[key] = 1 end), 1, true)
         assert.match(said, raised(function() store[key] = nil end), 1, true)
      end
      assert.same({ ["1"] = "string" }, helper.content(store))
   end)

   it("are the only kind: everything else is named", function()
      open()
      assert.match("got true$", raised(pkv.get, store, true))
      assert.match("got table$", raised(pkv.get, store, {}))
      assert.match("got nil$", raised(pkv.get, store, nil))
      assert.match("got no value$", raised(pkv.unset, store))
      assert.match("got " .. type(store) .. "$", raised(pkv.get, store, store))
   end)

   it("over the limit are an error", function()
      open()
      local long = ("k"):rep(16 * 2 ^ 20)
      assert.is_true(pkv.set(store, long, 1))
      long = long .. "k"
      local result, message, code = pkv.set(store, long, 1)
      assert.is_nil(result)
      assert.is_string(message)
      assert.equal("too_large", code)
      assert.match(message, raised(function() store[long] = 1 end), 1, true)
      assert.match(message, raised(function() return store[long] end), 1, true)
      assert.equal(1, #store)
   end)
end)

local ranges = {
   u8 = { 0, 255 }, i8 = { -128, 127 }, u16 = { 0, 65535 }, i16 = { -32768, 32767 },
   u32 = { 0, 4294967295 }, i32 = { -2147483648, 2147483647 },
   u64 = compat.has_integers and { mininteger, maxinteger } or { 0, 2 ^ 64 - 2048 },
   i64 = { mininteger, maxinteger },
}

for name, range in pairs(ranges) do
   describe(name .. " keys", function()
      before_each(function() open { keys = name } end)
      after_each(clean)

      it("are integers from end to end of the range", function()
         local expected = { [range[1]] = "low", [range[2]] = "high", [0] = "zero", [1] = "one" }
         if range[1] < 0 then expected[-1] = "minus one" end
         for key, value in pairs(expected) do store[key] = value end
         for _ = 1, 2 do
            assert.is_true(same(expected, helper.content(store)))
            for key, value in pairs(expected) do
               assert.equal(value, store[key])
               assert.equal(compat.type_of_number(1), compat.type_of_number(key))
            end
            reopen { keys = name }
         end
      end)

      it("may be given as floats without a fraction", function()
         store[2.0] = "two"
         store[-0.0] = "zero"
         assert.equal("two", store[2])
         assert.is_true(same({ [0] = "zero", [2] = "two" }, helper.content(store)))
         assert.is_true(pkv.unset(store, 2.0))
      end)

      it("are nothing else, and the error names the mode", function()
         local said = ('key must be an integer (the store has keys = "%s"), got '):format(name)
         assert.equal(said .. "number 2.5", raised(pkv.get, store, 2.5))
         assert.equal(said .. 'string "1"', raised(pkv.set, store, "1", 1))
         assert.equal(said .. 'string "get"', raised(pkv.unset, store, "get"))
         assert.equal(said .. "nil", raised(pkv.get, store, nil))
         for _, wrong in ipairs { 0 / 0, math.huge, -math.huge, 2.0 ^ 64, -2.0 ^ 64, true, { {} } } do
            assert.match(said, raised(pkv.get, store, wrong), 1, true)
         end
         assert.match(said .. 'string "x"', raised(function() return store.x end), 1, true)
         assert.equal(0, #store)
      end)

      if not name:find "64" then
         it("outside the range are an error that names the range", function()
            for _, wrong in ipairs { range[1] - 1, range[2] + 1, maxinteger, mininteger } do
               local message = raised(pkv.set, store, wrong, 1)
               assert.match(("%d"):format(wrong), message, 1, true)
               assert.match(tostring(range[1]), message, 1, true)
               assert.match(tostring(range[2]), message, 1, true)
               assert.match(name, message, 1, true)
            end
            assert.equal(0, #store)
         end)
      end
   end)
end

describe("u64 keys", function()
   after_each(clean)

   it("are 64 bits, given as integers or as floats up to 2^64", function()
      open { keys = "u64" }
      store[-2048] = "high bits"
      store[2.0 ^ 63] = "top bit"
      assert.equal("top bit", store[mininteger])
      assert.equal("high bits", store[2.0 ^ 64 - 2048])
      local negative = compat.has_integers
      assert.is_true(same({ [negative and -2048 or 2 ^ 64 - 2048] = "high bits",
                            [negative and mininteger or 2 ^ 63] = "top bit" }, helper.content(store)))
      assert.match("got number 1.844", raised(pkv.get, store, 2.0 ^ 64))
   end)
end)

describe('keys = "integer"', function()
   after_each(clean)

   it("means i64", function()
      open { keys = "integer" }
      store[mininteger] = 1
      assert.equal("i64", pkv.stats(store).keys)
      reopen { keys = "i64" }
      assert.equal(1, store[mininteger])
   end)
end)
