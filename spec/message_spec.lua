-- Each message that the sources hold is expected as a whole by a test: see spec/support/messages.lua. What the
-- messages are is in the specs of what they are about, and in lua_message_spec, message_check.c and spec/messages.
local helper = require "spec.support.helper"
local messages = require "spec.support.messages"

-- What no test can bring about, and why.
local UNTESTED = {
   ["unknown error"] = "a C library without words for an error",
   ["ordinal %llu with %lu shards cannot be added to the manifest"] = "a mistake in publish.c or repair.c",
   ["of a type that this version does not know"] = "no record is read whose type is none",
   ["a Lua with integers of 32 bits is not supported"] = "told by the compiler",
   ["a Lua with floats of 32 bits is not supported"] = "told by the compiler",
   ["pkv/ffi.lua and the module pkv are of different versions"] = "two versions mixed",
   ["module 'pkv.ffi' not found"] = "Lua's own, which is looked for",
   ["pkv cursor"] = "a metatable's name",
   ["prefetchw %0"] = "an instruction",
   ["not an iterator"] = "a mistake in ffi.lua",
   ["no room for a nested table"] = "the end of Lua's stack",
   ["no room for a message"] = "the end of Lua's stack",
   ["no room to call on_event"] = "the end of Lua's stack",
   ["not enough memory for an entry of %d bytes"] = "no memory; what it leads to is in lua_memory_spec",
   ["The store's entries must fit in memory."] = "no memory, for the command",
   ["Make room on the disk and try again; nothing was changed."] = "a full disk, for the command",
   ["Give a value of the store's kind."] = "the command takes values as the store says",
}

describe("every message", function()
   local said, expected = messages.said(), messages.expected()

   local function is_expected(message)
      for _, text in ipairs(expected) do
         if text:find(message.fixed, 1, true) and text:find(message.pattern) then return true end
      end
      return false
   end

   it("has a test that expects the whole of it", function()
      local missing = {}
      for _, message in ipairs(said) do
         if not UNTESTED[message.text] and not is_expected(message) then
            missing[#missing + 1] = message.at .. ": " .. message.text
         end
      end
      assert.equal("", table.concat(missing, "\n"))
   end)

   it("that cannot have one is in the sources, and is expected nowhere", function()
      local left = {}
      for text in pairs(UNTESTED) do left[text] = true end
      for _, message in ipairs(said) do
         if not is_expected(message) then left[message.text] = nil end
      end
      assert.is_nil(next(left))
   end)

   it("that doc/errors.md explains is in the sources, with a word for each that is filled in", function()
      local count = 0
      for _, text in helper.read("doc/errors.md"):gmatch "\n| (`+) ?(.-) ?%1 |" do
         local found = false
         for _, message in ipairs(said) do
            found = found or text:find("^" .. message.pattern:gsub("%.%-", "%%S+") .. "$") ~= nil
         end
         assert.is_true(found, text)
         count = count + 1
      end
      assert.is_true(count > 20)
   end)

   it("is found at all", function() assert.is_true(#said > 250) end)
end)
