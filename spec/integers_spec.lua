--- Integers of 64 bits that another program wrote: each Lua gives what it has for them, the same
-- integer, or an error that names it; never a number that is almost right.
local pkv = require "pkv"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"
local command = require "spec.support.command"
local internals = require "pkv_internals.lua"

local INTEGER, TABLE = 1, 4
local LARGE = "9007199254740993" -- 2^53 + 1
local LARGE_BYTES = "\1\0\0\0\0\0\32\0"
local UNSIGNED = "18446744073709551615"

local path, store
before_each(function() path = helper.folder() end)
after_each(function()
   pkv.close(store)
   helper.clean()
end)

local function with(entries)
   internals.set_typed(path, entries)
   store = assert(pkv.open(path))
end

--- Is it the integer, in whatever this Lua has for it?
local function is(text, found)
   if compat.has_integers then return found == (text == UNSIGNED and -1 or tonumber(text)) end
   return tostring(found) == text .. (text == UNSIGNED and "ULL" or "LL")
end

local can_have = compat.has_integers or compat.has_ffi

--- Reads and iterates: gives the integer, or the error that says so.
local function reads(text, pick, said)
   if can_have then
      assert.is_true(is(text, pick(store.x)))
      assert.is_true(is(text, pick(pkv.get(store, "x"))))
      for _, value in pkv.each(store) do assert.is_true(is(text, pick(value))) end
      return
   end
   said = said:format("the integer " .. text .. ", which the numbers of this Lua cannot hold exactly")
   local value, message, code = pkv.get(store, "x")
   assert.is_nil(value)
   assert.equal(said, message)
   assert.equal("value_type", code)
   assert.match(said, helper.raised(function() return store.x end), 1, true)
   assert.match(said, helper.raised(pkv.each(store)), 1, true)
end

local function itself(value) return value end

describe("an integer that no double can hold", function()
   it("is read as a value", function()
      with { { "x", LARGE_BYTES, INTEGER } }
      reads(LARGE, itself, 'the value of key string "x" is %s')
   end)

   it("is read in a table", function()
      with { { "x", compat.hex[[\x81\xa1a\x91\xcf\x00\x20\x00\x00\x00\x00\x00\x01]], TABLE } }
      reads(LARGE, function(value) return value.a[1] end, 'the value of key string "x" contains %s')
   end)

   it("is read as the key of a table", function()
      with { { "x", compat.hex[[\x81\xd3\x00\x20\x00\x00\x00\x00\x00\x01\x01]], TABLE } }
      reads(LARGE, function(value) return (next(value)) end, 'the value of key string "x" contains %s')
   end)

   for kind, text in pairs { i64 = LARGE, u64 = UNSIGNED } do
      it("is read where values are " .. kind, function()
         assert(pkv.close(assert(pkv.open(path, { values = kind }))))
         assert.equal(0, (command("set", path, "x", text)))
         store = assert(pkv.open(path, { values = kind }))
         reads(text, itself, 'the value of key string "x" is %s')
      end)

      it("is read where keys are " .. kind, function()
         assert.equal(0, (command("set", "--keys", kind, path, text, "large")))
         assert.equal(0, (command("set", "--keys", kind, path, "7", "seven")))
         store = assert(pkv.open(path, { keys = kind, values = "any" }))
         assert.equal("seven", store[7])
         local iterator, seen, refused = pkv.each(store), {}, nil
         for _ = 1, 2 do
            local ok, key, value = pcall(iterator)
            if ok then seen[value] = key else refused = key end
         end
         assert.is_nil(iterator())
         assert.equal(7, seen.seven)
         if can_have then
            assert.is_true(is(text, seen.large))
            assert.equal("large", store[seen.large])
         else
            assert.equal(("a key is the integer %s, which the numbers of this Lua cannot hold exactly"):format(text),
                         refused)
         end
      end)
   end
end)

describe("an integer that a double can hold", function()
   it("is a number, and the same again when it is written again", function()
      with { { "x", "\0\0\0\0\0\0\32\0", INTEGER }, { "y", "\0\0\0\0\0\0\0\128", INTEGER },
             { "z", "\254\255\255\255\255\255\255\255", INTEGER } }
      for _ = 1, 2 do
         assert.equal(2 ^ 53, store.x)
         assert.equal(-2 ^ 63, store.y)
         assert.equal(-2, store.z)
         for _, key in ipairs { "x", "y", "z" } do
            assert.equal("number", type(store[key]))
            store[key] = store[key]
         end
      end
   end)

   it("is written as an integer up to 2^53, and beyond as a float, as are numbers with a fraction and -0.0", function()
      store = assert(pkv.open(path))
      local integer = compat.integer
      store.small, store.limit, store.beyond = integer(-3), integer(-2 ^ 53), 2 ^ 54
      store.fraction, store.zero, store.minus_zero = 0.5, 0, -1 / math.huge
      assert(pkv.close(store))
      local _, listed = command("list", path)
      for key, text in pairs { small = "-3", limit = "-9007199254740992", beyond = "18014398509481984.0",
                               fraction = "0.5", zero = "0", minus_zero = "-0.0" } do
         assert.match(("\n%s\t%s\n"):format(key, text), "\n" .. listed, 1, true)
      end
      store = assert(pkv.open(path))
      assert.equal(-math.huge, 1 / store.minus_zero)
   end)
end)
