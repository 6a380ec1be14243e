--- Tables that other programs wrote, and bytes that are no table at all.
local pkv = require "pkv"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"
local internals = require "pkv_internals.lua"

local hex = compat.hex
local INTEGER, FLOAT, BOOLEAN, TABLE = 1, 2, 3, 4
local path, store

--- A store with one raw value of the given type.
local function with(bytes, value_type, key)
   if store then pkv.close(store) end
   path = helper.folder()
   internals.set_typed(path, { { key or "key", bytes, value_type or TABLE } })
   store = assert(pkv.open(path))
   return store
end

local function damaged(bytes, value_type)
   with(bytes, value_type)
   local value, message, code = pkv.get(store, "key")
   assert.is_nil(value)
   assert.equal("corrupt", code)
   assert.match('the value of key string "key" is damaged: ', message, 1, true)
   assert.match(message, helper.raised(function() return store.key end), 1, true)
   assert.match(message, helper.raised(helper.content, store), 1, true)
   return message:match("damaged: (.*)$")
end

after_each(function()
   if store then pkv.close(store) end
   store = nil
   helper.clean()
end)

describe("MessagePack of other writers", function()
   local function reads(expected, bytes) assert.is_true(helper.same(expected, with(bytes).key), bytes) end

   it("is read in every form of every type", function()
      reads({ 1, -1, 200, -100 }, hex[[\x94\x01\xff\xcc\xc8\xd0\x9c]])
      reads({ 1, 1, 1, 1 }, hex[[\x94\xcc\x01\xcd\0\x01\xce\0\0\0\x01\xcf\0\0\0\0\0\0\0\x01]])
      reads({ -2, -2, -2, -2 }, hex[[\x94\xd0\xfe\xd1\xff\xfe\xd2\xff\xff\xff\xfe]] ..
            hex[[\xd3\xff\xff\xff\xff\xff\xff\xff\xfe]])
      reads({ 1.5, 1.5 }, hex[[\x92\xca\x3f\xc0\0\0\xcb\x3f\xf8\0\0\0\0\0\0]])
      reads({ true, false }, hex[[\x92\xc3\xc2]])
      reads({ "a", "a", "a", "a" }, hex[[\x94\xa1a\xd9\x01a\xda\0\x01a\xdb\0\0\0\x01a]])
      reads({ "a", "a", "a" }, hex[[\x93\xc4\x01a\xc5\0\x01a\xc6\0\0\0\x01a]])
      reads({ {}, {}, {} }, hex[[\x93\x90\xdc\0\0\xdd\0\0\0\0]])
      reads({ {}, {}, {} }, hex[[\x93\x80\xde\0\0\xdf\0\0\0\0]])
      reads({ a = 1 }, hex[[\xdf\0\0\0\x01\xa1a\x01]])
   end)

   it("has integers from 2^63 on become floats, as Lua's numerals do", function()
      reads({ 2.0 ^ 63, 2.0 ^ 64 - 2048 }, hex[[\x92\xcf\x80\0\0\0\0\0\0\0]] ..
            hex[[\xcf\xff\xff\xff\xff\xff\xff\xf8\0]])
      reads({ compat.maxinteger }, compat.has_integers and hex[[\x91\xcf\x7f]] .. ("\255"):rep(7)
            or hex[[\x91\xcf\x7f\xff\xff\xff\xff\xff\xfc\0]])
   end)

   it("has nil where Lua has nothing, and float keys without fraction become integers", function()
      reads({ 1, nil, 3 }, hex[[\x93\x01\xc0\x03]])
      reads({ b = 1 }, hex[[\x82\xa1a\xc0\xa1b\x01]])
      reads({ [2] = 1 }, hex[[\x81\xcb\x40\0\0\0\0\0\0\0\x01]])
   end)
end)

describe("a value that is not what its type says", function()
   it("is an error that names the key and the damage", function()
      assert.equal("an integer that is not 8 bytes long", damaged("1234567", INTEGER))
      assert.equal("a float that is not 8 bytes long", damaged("", FLOAT))
      assert.equal("a boolean that is not 0 or 1", damaged("\2", BOOLEAN))
      assert.equal("a boolean that is not 0 or 1", damaged("", BOOLEAN))
      assert.match("it is not a table", damaged("\1"))
      assert.match("it ends too early", damaged(""))
      assert.match("it ends too early", damaged(hex[[\x92\xcd\0]]))
      assert.match("bytes follow its end", damaged(hex[[\x90\x90]]))
      assert.match("a string is longer than what is left", damaged(hex[[\x91\xdb\xff\xff\xff\xffabc]]))
      assert.match("a byte that MessagePack does not use", damaged(hex[[\x91\xc1]]))
      assert.match("a MessagePack extension type", damaged(hex[[\x91\xd4\1\1]]))
      for _, key in ipairs { hex[[\xc0]], hex[[\x90]], hex[[\x80]], hex[[\xcb\x7f\xf8\0\0\0\0\0\0]] } do
         assert.match("a key of a table is neither string, number nor boolean", damaged(hex[[\x81]] .. key .. "\1"))
      end
   end)

   it("never makes tables larger than its bytes justify", function()
      local before = collectgarbage("count")
      for _, head in ipairs { hex[[\xdd\xff\xff\xff\xff]], hex[[\xdf\xff\xff\xff\xff]], hex[[\xdd\0\xff\xff\xff]] } do
         assert.match("more entries than what is left can hold", damaged(head .. ("\1"):rep(1000)))
         assert.match("more entries than what is left can hold", damaged((head):rep(100)))
      end
      -- Each container alone could be true, all of them together cannot.
      assert.match("more entries than what is left can hold", damaged(hex[[\xdc\x03\xe8]]:rep(100) .. ("\1"):rep(900)))
      -- Tables of what the first heads announce take 256 MiB and more.
      assert.is_true(collectgarbage("count") - before < 65536)
   end)

   it("is not nested deeper than 128 tables", function()
      assert.is_table(with(hex[[\x91]]:rep(127) .. hex[[\x90]]).key)
      assert.match("it is nested too deep", damaged(hex[[\x91]]:rep(128) .. hex[[\x90]]))
      assert.match("it is nested too deep", damaged(hex[[\x91]]:rep(100000) .. hex[[\x90]]))
      assert.match("it is nested too deep", damaged(hex[[\x81\1]]:rep(100000) .. hex[[\x90]]))
   end)

   it("harms nobody, however random it is", function()
      local seed = tonumber(os.getenv("PKV_SEED")) or os.time()
      math.randomseed(seed)
      local entries = {}
      local tags = hex[[\1\0\x80\x81\x82\x90\x91\x9f\xa0\xa5\xc0\xc1\xc2\xc4\xc5\xc6\xca\xcb\xcc]] ..
                   hex[[\xcf\xd3\xd9\xdb\xdc\xdd\xde\xdf]]
      for i = 1, math.ceil(20000 / helper.stride) do
         local bytes = {}
         for j = 1, math.random(0, 40) do
            local at = math.random(#tags)
            bytes[j] = math.random() < 0.7 and tags:sub(at, at) or string.char(math.random(0, 255))
         end
         entries[i] = { "k" .. i, table.concat(bytes), math.random() < 0.9 and TABLE or math.random(0, 4) }
      end
      path = helper.folder()
      internals.set_typed(path, entries)
      store = assert(pkv.open(path))
      local good = 0
      for i = 1, #entries do
         local value, message, code = pkv.get(store, "k" .. i)
         if value ~= nil then
            good = good + 1
         else
            local inexact = not compat.has_integers and code == "value_type"
            assert.equal("corrupt", inexact and "corrupt" or code, "seed " .. seed)
            assert.match('"k' .. i .. '"', message, 1, true)
         end
      end
      assert.is_true(good > 0, "seed " .. seed)
   end)
end)

describe("pairs over a damaged value", function()
   it("raises, and can go on after it", function()
      path = helper.folder()
      local empty, unused = hex[[\x90]], hex[[\xc1]]
      internals.set_typed(path, { { "a", empty, TABLE }, { "b", unused, TABLE }, { "c", empty, TABLE } })
      store = assert(pkv.open(path))
      local iterator, good, bad = pkv.each(store), 0, 0
      for _ = 1, 3 do
         if pcall(iterator) then good = good + 1 else bad = bad + 1 end
      end
      assert.same({ 2, 1 }, { good, bad })
      assert.is_nil(iterator())
   end)
end)
