--- Lua may run out of memory at any allocation: nothing leaks, nothing stays locked.
local pkv = require "pkv"
local helper = require "spec.support.helper"
local internals = require "pkv_internals.lua"

-- Each does something to a store in a state whose n-th allocation fails, for n = 1, 2, ...
local tasks = {
   ["open with options"] = [[
      local pkv, path = ...
      assert(pkv.open(path, { values = "any", sync = 1, on_event = function() end, wal_io = "mmap" }))]],
   ["open wrongly"] = [[
      local pkv, path = ...
      assert(not pcall(pkv.open, path, { kyes = 1 }))
      assert(not pcall(pkv.open, path, { keys = {} }))
      assert(not pkv.open("/dev/null/x"))]],
   ["values of all kinds"] = [[
      local pkv, path = ...
      local store = assert(pkv.open(path))
      local big = ("x"):rep(5000)
      store.table = { 1, 2.5, "three", { big, four = { true } } }
      store.string, store.number = big, 1
      assert(store.table[4][1] == big and store.string == big and store.number == 1)
      for k, v in pkv.each(store) do assert(k and v) end
      assert(not pcall(pkv.set, store, "x", { a = { print } }))
      assert(#store == 3 and tostring(store) and pkv.stats(store).entries == 3)]],
   ["a codec and events"] = [[
      local pkv, path = ...
      local events = {}
      local store = assert(pkv.open(path, {
         on_event = function(name, details) events[#events + 1] = { name, details } end,
         values = { encode = function(x) return "<" .. x .. ">" end, decode = function(x) return x .. "!" end },
      }))
      store.a = "1"
      assert(pkv.get(store, "a") == "<1>!")
      pkv.snapshot(store)
      for k, v in pkv.each(store) do assert(k and v) end
      for k, v in pkv.drain(store) do assert(k and v) end]],
}

describe("running out of Lua memory", function()
   after_each(helper.clean)
   for name, code in pairs(tasks) do
      it("while working on " .. name .. " leaks nothing", function()
         local count, exhausted = 0, true
         local problem, live
         while exhausted do
            local path = helper.folder()
            exhausted, problem, live = internals.run_with_allocations(code, path, count)
            assert.equal(0, live)
            if exhausted and problem then assert.match("not enough memory", problem) end
            local removed, _, code_of_failure = pkv.prune_backups(path, 1000)
            assert.is_true(removed == 0 or code_of_failure == "not_found" or code_of_failure == "io",
                           code_of_failure)
            helper.clean()
            count = count + 1
         end
         assert.is_nil(problem)
         assert.is_true(count > 5)
      end)
   end
end)
