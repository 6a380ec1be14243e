--- What comes back is what was stored: values of every kind, in every `values` mode.
local pkv = require "pkv"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"

local raised, same = helper.raised, helper.same
local hex = compat.hex
local maxinteger, mininteger = compat.maxinteger, compat.mininteger

local function reopened(store, path, options)
   assert(pkv.close(store))
   return assert(pkv.open(path, options))
end

describe("a value of any type", function()
   local path, store
   before_each(function()
      path = helper.folder()
      store = assert(pkv.open(path))
   end)
   after_each(function()
      pkv.close(store)
      helper.clean()
   end)

   local function survives(value)
      store.key = value
      if not same(value, store.key) then return false end
      store = reopened(store, path)
      return same(value, store.key)
   end

   it("is a string of any bytes: empty, with zeros, 5 MiB", function()
      for _, value in ipairs { "", "\0", "a\0b\255", ("x"):rep(1023), ("y"):rep(1024),
                               ("z"):rep(1025), ("ab\0c"):rep(5 * 2 ^ 18) } do
         assert.is_true(survives(value), #value)
      end
   end)

   it("is an integer and stays one", function()
      for _, value in ipairs { 0, 1, -1, 127, 128, -128, compat.integer(2 ^ 53), maxinteger, mininteger } do
         assert.is_true(survives(value), value)
      end
   end)

   it("is a float and stays one, -0.0, inf and nan included", function()
      for _, value in ipairs { 0.0, -0.0, 1.0, -2.5, 2 ^ 53, 1e300, 5e-324, math.huge, -math.huge, 0 / 0 } do
         assert.is_true(survives(value), value)
      end
   end)

   it("is a boolean, and false is not absent", function()
      assert.is_true(survives(true))
      assert.is_true(survives(false))
      assert.is_false(pkv.get(store, "key", "default"))
   end)

   it("is a table of all these, nested", function()
      assert.is_true(survives {})
      assert.is_true(survives { {}, { {} } })
      assert.is_true(survives { 1, 2.0, "three", false, { x = { -0.0, 0 / 0, math.huge } } })
      assert.is_true(survives { name = "x", [1] = "one", [3] = 3, [-1] = -1, [2.5] = "float",
                                [true] = 1, [false] = 0, [mininteger] = 1, [math.huge] = 2,
                                [""] = "", ["\0\255"] = "bytes" })
   end)

   it("is a table with numbers of every width of MessagePack", function()
      local numbers = {}
      for bits = 0, 62 do
         for offset = -1, 1 do
            local power = compat.integer(2 ^ bits)
            numbers[#numbers + 1] = power + offset
            numbers[#numbers + 1] = -power + offset
            numbers[#numbers + 1] = (power + offset) + 0.0
         end
      end
      assert.is_true(survives(numbers))
   end)

   it("is a table with strings and tables of every width of MessagePack", function()
      local strings, tables = {}, {}
      for _, size in ipairs { 0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000 } do
         strings[#strings + 1] = ("s"):rep(size)
         strings[#strings + 1] = ("\255"):rep(size)
         local array, map = {}, {}
         for i = 1, size do
            array[i] = i
            map["k" .. i] = i
         end
         tables[#tables + 1] = array
         tables[#tables + 1] = map
      end
      assert.is_true(survives(strings))
      assert.is_true(survives(tables))
   end)

   it("is a table with holes, which stay holes", function()
      assert.is_true(survives { 1, nil, 3 })
      assert.is_true(survives { nil, nil, 3, n = 3 })
   end)

   it("may change its type", function()
      for _, value in ipairs { "s", 1, 1.5, true, { 1 }, "t" } do
         store.key = value
         assert.is_true(same(value, store.key))
      end
      assert.equal(1, #store)
   end)

   it("is a copy: changing the table changes nothing in the store", function()
      local value = { list = { 1 } }
      store.key = value
      value.list[1] = 2
      store.key.list[1] = 3
      assert.equal(1, store.key.list[1])
   end)

   it("may hold the same table twice, which comes back as two", function()
      local shared = { 1 }
      store.key = { a = shared, b = shared }
      local value = store.key
      assert.same({ a = { 1 }, b = { 1 } }, value)
      assert.not_equal(value.a, value.b)
   end)

   it("is stored without regard to metatables, and no code of theirs runs", function()
      local function never() error("a metamethod ran") end
      local mt = { __index = never, __newindex = never, __len = never, __pairs = never,
                   __name = "fancy", __tostring = never }
      store.key = setmetatable({ 1, 2, x = setmetatable({ y = 1 }, mt) }, mt)
      assert.same({ 1, 2, x = { y = 1 } }, store.key)
      assert.is_nil(getmetatable(store.key))
   end)

   it("is removed by nil", function()
      store.key = 1
      store.key = nil
      assert.is_nil(store.key)
      assert.is_true(pkv.set(store, "key", 1))
      assert.is_true(pkv.set(store, "key", nil))
      assert.is_true(pkv.set(store, "key", nil))
      assert.equal(0, #store)
   end)
end)

describe("a table in a store", function()
   it("is MessagePack: arrays, maps, str for UTF-8, bin for other bytes", function()
      local path = helper.folder()
      local store = assert(pkv.open(path))
      store.a = { 1, -1, 2.5, "é", "\255", true, { [10] = false }, {}, 200, 70000 }
      assert(pkv.close(store))
      assert.is_true(helper.contains(path, hex[[\x9a\x01\xff\xcb\x40\x04\0\0\0\0\0\0\xa2é\xc4\x01\xff\xc3]] ..
                                           hex[[\x81\x0a\xc2\x80\xcc\xc8\xce\0\x01\x11\x70]]))
      helper.clean()
   end)

   it("has str for what is UTF-8 to the letter, and for nothing else", function()
      local path = helper.folder()
      local store = assert(pkv.open(path))
      local function is_str(text)
         store.a = { text }
         assert.same({ text }, store.a)
         local str, bin = string.char(0x91, 0xa0 + #text), string.char(0x91, 0xc4, #text)
         assert(pkv.sync(store))
         local as_str, as_bin = helper.contains(path, str .. text), helper.contains(path, bin .. text)
         assert.is_true(as_str ~= as_bin)
         return as_str
      end
      for _, text in ipairs { -- the first and last of each length, and those around the halves of pairs
         "\\0", "\\x7f", "\\xc2\\x80", "\\xdf\\xbf", "\\xe0\\xa0\\x80", "\\xed\\x9f\\xbf", "\\xee\\x80\\x80",
         "\\xef\\xbf\\xbf", "\\xf0\\x90\\x80\\x80", "\\xf4\\x8f\\xbf\\xbf",
      } do
         assert.is_true(is_str(hex(text)), text)
      end
      for _, text in ipairs {
         "\\x80", "\\xbf", "\\xc0\\x80", "\\xc1\\xbf",                    -- no beginning; forms too long
         "\\xe0\\x9f\\xbf", "\\xf0\\x8f\\xbf\\xbf",
         "\\xc3", "\\xe2\\x82", "\\xf0\\x9f\\x98", "a\\xc3",             -- cut short
         "\\xc3a", "\\xe2a\\x82", "\\xe2\\x82a", "\\xf0\\x9f\\x98\\xc3",
         "\\xed\\xa0\\x80", "\\xed\\xbf\\xbf",                            -- halves of pairs
         "\\xf4\\x90\\x80\\x80", "\\xf5\\x80\\x80\\x80", "\\xff",         -- beyond the last
      } do
         assert.is_false(is_str(hex(text)), text)
      end
      assert(pkv.close(store))
      helper.clean()
   end)
end)

describe("what cannot be stored", function()
   local store
   before_each(function() store = assert(pkv.open(helper.folder())) end)
   after_each(function()
      pkv.close(store)
      helper.clean()
   end)

   local function refused(value)
      local message = raised(pkv.set, store, "key", value)
      assert.equal(message, (raised(function() store.key = value end):gsub("^[^ ]*: ", "")))
      assert.is_nil(store.key)
      return message
   end

   it("is named with the path to it", function()
      assert.equal("value is a function, which cannot be stored", refused(print))
      assert.equal("value is a thread, which cannot be stored", refused(coroutine.create(function() end)))
      assert.equal("value is a userdata, which cannot be stored", refused(io.stdout))
      assert.equal("value.pos[2].callback is a function, which cannot be stored",
                   refused { pos = { 1, { callback = print } } })
      assert.equal('value["a b"][2.5][true][-1] is a userdata, which cannot be stored',
                   refused { ["a b"] = { [2.5] = { [true] = { [-1] = io.stdout } } } })
      assert.equal('value["\\000\\"\\\\"] is a function, which cannot be stored', refused { ['\0"\\'] = print })
      assert.equal("value[false]._A9z is a function, which cannot be stored",
                   refused { [false] = { _A9z = print } })
      for _, key in ipairs { "", "9a", "a-b", "a[", "a{", "é" } do
         local shown = key:gsub("[\128-\255]", function(byte) return ("\\%03d"):format(byte:byte()) end)
         assert.equal(('value["%s"] is a function, which cannot be stored'):format(shown), refused { [key] = print })
      end
      local nested = print
      for _ = 1, 10 do nested = { k = nested } end
      assert.equal("value" .. (".k"):rep(10) .. " is a function, which cannot be stored", refused(nested))
      local long = ("k"):rep(41)
      assert.equal(('value["%s"...] is a function, which cannot be stored'):format(long:sub(2)),
                   refused { [long] = print })
   end)

   it("is a table with keys that are tables or functions", function()
      assert.equal("value has a key that is a table, which cannot be stored", refused { [{}] = 1 })
      assert.equal("value.a[1] has a key that is a function, which cannot be stored",
                   refused { a = { { [print] = 1 } } })
   end)

   it("is a cycle", function()
      local value = { a = { b = {} } }
      value.a.b.up = value.a
      assert.equal("value.a.b.up is value.a again: a cycle cannot be stored", refused(value))
      local own = {}
      own[1] = own
      assert.equal("value[1] is value again: a cycle cannot be stored", refused(own))
   end)

   it("is nested deeper than 128 tables", function()
      local function nest(depth, by)
         local value = {}
         for _ = 2, depth do value = { [by] = value } end
         return value
      end
      for _, by in ipairs { 1, "k" } do
         store.key = nest(128, by)
         assert.is_true(same(nest(128, by), store.key))
         store.key = nil
         assert.match("^value.* is nested deeper than 128 tables$", refused(nest(129, by)))
      end
      assert.match("^value.-%.%.%..- is nested deeper than 128 tables$", refused(nest(100000, "k")))
   end)

   it("leaves the value that was there", function()
      store.x = { 1 }
      raised(pkv.set, store, "x", { 2, print })
      assert.same({ 1 }, store.x)
   end)
end)

describe('values = "string"', function()
   it("takes strings only", function()
      local path = helper.folder()
      local store = assert(pkv.open(path, { values = "string" }))
      store.a, store.b = "", "b\0"
      for _, wrong in ipairs { 1, 1.5, true, { {} } } do
         local message = raised(pkv.set, store, "a", wrong)
         assert.match('^value must be a string %(the store has values = "string"%), got ', message)
      end
      store = reopened(store, path, { values = "string" })
      assert.same({ a = "", b = "b\0" }, helper.content(store))
      assert(pkv.close(store))
      helper.clean()
   end)
end)

local ranges = {
   u8 = { 0, 255 }, i8 = { -128, 127 }, u16 = { 0, 65535 }, i16 = { -32768, 32767 },
   u32 = { 0, 4294967295 }, i32 = { -2147483648, 2147483647 },
   u64 = { 0, compat.has_integers and -1 or 2 ^ 64 - 2048 }, i64 = { mininteger, maxinteger },
   integer = { mininteger, maxinteger },
}

for name, range in pairs(ranges) do
   describe(('values = "%s"'):format(name), function()
      local path, store, options
      before_each(function()
         path, options = helper.folder(), { values = name }
         store = assert(pkv.open(path, options))
      end)
      after_each(function()
         pkv.close(store)
         helper.clean()
      end)

      it("keeps integers from end to end of its range, floats without fraction too", function()
         store.low, store.high, store.two = range[1], range[2], 2.0
         store = reopened(store, path, options)
         assert.is_true(same({ low = range[1], high = range[2], two = 2 }, helper.content(store)))
      end)

      it("refuses everything else, and says why", function()
         local type_name = name == "integer" and "i64" or name
         for _, wrong in ipairs { "1", 2.5, true, { { 1 } }, 0 / 0, math.huge, 2.0 ^ 64 } do
            local message = raised(pkv.set, store, "k", wrong)
            assert.match(('value must be an integer (the store has values = "%s"), got '):format(type_name),
                         message, 1, true)
         end
         if not name:find("64") and name ~= "integer" then
            for _, wrong in ipairs { range[1] - 1, range[2] + 1 } do
               local message = raised(pkv.set, store, "k", wrong)
               assert.match(("%d"):format(range[1]), message, 1, true)
               assert.match(("%d"):format(range[2]), message, 1, true)
            end
         end
         assert.equal(0, #store)
      end)
   end)
end

describe('values = "u64"', function()
   it("takes integers as 64 bits and floats up to 2^64", function()
      local store = assert(pkv.open(helper.folder(), { values = "u64" }))
      store.a, store.b = 2.0 ^ 63, -2048
      assert.equal(compat.has_integers and mininteger or 2 ^ 63, store.a)
      assert.equal(compat.has_integers and -2048 or 2 ^ 64 - 2048, store.b)
      pkv.close(store)
      helper.clean()
   end)
end)

describe("values = {encode=, decode=}", function()
   local path, store
   after_each(function()
      pkv.close(store)
      helper.clean()
   end)

   it("calls the program's functions", function()
      local options = { values = {
         encode = function(value) return value.x .. "," .. value.y end,
         decode = function(bytes)
            local x, y = bytes:match("^(.-),(.*)$")
            return { x = x, y = y }
         end,
      } }
      path = helper.folder()
      store = assert(pkv.open(path, options))
      store.a = { x = "1", y = ("y"):rep(3000) }
      store = reopened(store, path, options)
      assert.same({ x = "1", y = ("y"):rep(3000) }, store.a)
      assert.same({ a = { x = "1", y = ("y"):rep(3000) } }, helper.content(store))
   end)

   it("propagates their errors and stays usable", function()
      local fail = {}
      store = assert(pkv.open(helper.folder(), { values = {
         encode = function(value) return value == "bad" and error(fail) or value end,
         decode = function(bytes) return bytes == "undecodable" and error(fail) or bytes end,
      } }))
      store.a, store.b = "good", "undecodable"
      for _, f in ipairs { function() store.a = "bad" end, function() pkv.set(store, "a", "bad") end,
                           function() return store.b end, function() return pkv.get(store, "b") end,
                           function() return helper.content(store) end } do
         local ok, problem = pcall(f)
         assert.is_false(ok)
         assert.equal(fail, problem)
      end
      assert.equal("good", store.a)
      store.b = nil
      assert.same({ a = "good" }, helper.content(store))
   end)

   it("wants a string from encode", function()
      local result
      store = assert(pkv.open(helper.folder(), { values = { encode = function() return result end,
                                                            decode = function() end } }))
      for _, wrong in ipairs { 1, true, { {} } } do
         result = wrong
         assert.equal("values.encode must return a string, got " .. type(wrong), raised(pkv.set, store, "a", 1))
      end
      assert.match("got nil", raised(function() result = nil; store.a = 1 end))
      assert.equal(0, #store)
   end)

   it("may use the store, even close it", function()
      store = assert(pkv.open(helper.folder(), { values = {
         encode = function(value)
            if value == "close" then pkv.close(store) elseif value == "nest" then store.other = "1" end
            return value
         end,
         decode = function(bytes)
            if bytes == "close" then pkv.close(store) end
            return bytes .. #store
         end,
      } }))
      store.a = "nest"
      assert.equal("12", store.other)
      assert.match("the store is closed", raised(function() store.a = "close" end))
      assert.match("the store is closed", raised(function() return store.a end))
   end)
end)
