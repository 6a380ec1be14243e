--- Collections at any moment, finalizers that use stores, and the end of a Lua state at any moment, with
-- whatever is open: nothing that is in use is taken away, no lock is held after it, and nothing is lost.
local pkv = require "pkv"
local internals = require "pkv_internals.lua"
local calls = require "spec.support.lua_calls"
local compat = require "spec.support.compat"
local disk = require "spec.support.disk"
local helper = require "spec.support.helper"
local random = require "spec.support.random"

local check_free, check_closed = calls.check_free, calls.check_closed

describe("in a Lua state of its own,", function()
   after_each(disk.clean)

   --- Where a trace of LuaJIT may collect, it ends if it does: if it always does, it gets nowhere. Random
   -- work is compiled.
   local function run(name, seed)
      local path = disk.folder()
      local jit_off = compat.is_luajit and not seed and "jit.off() " or ""
      local code = 'require "spec.support.lua_collections".%s(..., %d)'
      calls.run_in_thread(jit_off .. code:format(name, seed or 0), path)
      check_closed(path)
      check_free(path)
   end

   it("each call does what it should where whatever can be collected is", function() run "always" end)
   it("each call does what it should in a finalizer", function() run "in_finalizers" end)
   it("each call does what it should while finalizers use the store", function() run "disturbed" end)
   it("an error in a finalizer passes at any place of each call", function() run "failing" end)
   it("random work is not disturbed by any mode of the collector", function()
      random.rounds(1, function(seed) run("random", seed) end)
   end)
end)

describe("lua_close", function()
   after_each(disk.clean)

   -- In LuaJIT, stores have metamethods that make calls in Lua: three times as many moments.
   local step = compat.is_luajit and 3 * helper.stride or helper.stride

   local pieces = {
      'store = assert(pkv.open(path)) store.a = 1 iterator = pkv.each(store) iterator()',
      'second = assert(pkv.open(path)) second.b = 2',
      [[local drained = assert(pkv.open(path .. "-drained")) drained.x, drained.y = 1, 2
        rest = pkv.drain(drained) rest()]],
      [[local codec = { encode = function(x) return x end, decode = function(x) return x end }
        local other = assert(pkv.open(path .. "-coded", { values = codec, on_event = function() return second end }))
        other.x = "x"
        left = coroutine.wrap(function() for _ in pkv.each(other) do coroutine.yield() end end) left()]],
      [[user = require "spec.support.compat".finalizer(function()
           for _, f in ipairs { function() store.c = 3 end, function() iterator() end, function() rest() end, left,
                                function() for _ in pkv.each(second) do second.d = 4 end end,
                                function() pkv.close(store) end, function() pkv.snapshot(second) end } do pcall(f) end
        end)]],
   }
   local jit_off = compat.is_luajit and "jit.off() " or ""

   local function permutations(list, from, visit)
      if from > #list then return visit(list) end
      for i = from, #list do
         list[from], list[i] = list[i], list[from]
         permutations(list, from + 1, visit)
         list[from], list[i] = list[i], list[from]
      end
   end

   --- What the pieces have done before the end is in the store; nothing of it is in use any more.
   local function check_left(path, done)
      check_closed(path, path .. "-drained", path .. "-coded")
      local again = assert(pkv.open(path))
      for key, value in pairs(done) do assert.equal(value, again[key]) end
      assert(pkv.close(again))
      check_free(path)
   end

   it("leaves no memory, no lock and no store open, in whatever order things were made", function()
      local number = 0
      permutations({ 1, 2, 3, 4, 5 }, 1, function(order)
         number = number + 1
         if number % helper.stride ~= 0 then return end
         local path = disk.folder()
         local code = { jit_off, "pkv, path = ...\n" }
         for _, piece in ipairs(order) do code[#code + 1] = pieces[piece] .. "\n" end
         local _, problem, live = internals.run_with_allocations(table.concat(code), path, 2 ^ 40)
         assert.is_nil(problem)
         assert.equal(0, live)
         check_left(path, { a = 1, b = 2 })
         disk.clean()
      end)
   end)

   it("runs finalizers that make any call, and leaves no memory, no lock and no store open", function()
      if compat.is_luajit then return end -- its cdata are finalized before all else
      local path = disk.folder()
      local code = [[
         local pkv, path = ...
         local call = require "spec.support.lua_calls".list[%d].call
         local store = assert(pkv.open(path, { memory_shards = 2 }))
         kept = { store, require "spec.support.compat".finalizer(function()
            local done, problem = pcall(call, store, path)
            local file = io.open(path .. "-told", "w")
            file:write(done and "fine" or tostring(problem))
            file:close()
         end) }]]
      assert(pkv.close(calls.prepare(path)))
      for number, call in ipairs(calls.list) do
         local _, problem, live = internals.run_with_allocations(jit_off .. code:format(number), path, 2 ^ 40)
         assert.is_nil(problem)
         assert.equal("fine", helper.read(path .. "-told"), call.name)
         assert.equal(0, live)
         check_closed(path, path .. "-other", path .. "-coded", path .. "-integers", path .. "-closed")
         check_free(path)
         local store = assert(pkv.open(path))
         calls.reset(store)
         assert(pkv.close(store))
      end
   end)

   --- All pieces; `stop` is done at the n-th call or return in them. Prints what was done until then.
   local program = jit_off .. "pkv, path = ...\n" .. [[
      local count, moment, stop = -1, %d, %s
      local function hook()
         count = count + 1
         if count ~= moment then return end
         debug.sethook()
         stop()
      end
      local wrap = coroutine.wrap
      coroutine.wrap = function(f)
         return wrap(function() debug.sethook(hook, "cr") f() end)
      end
      debug.sethook(hook, "cr")
      ]] .. table.concat(pieces, "\n") .. [[

      debug.sethook()
      store.whole = true]]

   it("after an error at any call leaves no memory, no lock and no store open", function()
      local moment, whole = 0, false
      while not whole do
         local path = disk.folder()
         local code = program:format(moment, "function() error 'on purpose' end")
         local _, problem, live = internals.run_with_allocations(code, path, 2 ^ 40)
         whole = not problem
         if problem then assert.match("on purpose", problem) end
         assert.equal(0, live)
         check_left(path, whole and { a = 1, b = 2, whole = true } or {})
         disk.clean()
         moment = moment + step
      end
   end)

   it("at any call, from within, loses nothing", function()
      local moment, whole = 0, false
      while not whole do
         local path = disk.folder()
         local stop = "function() io.write('stopped') io.stdout:flush() os.exit(0, true) end"
         local code = ("local function run(...) %s end run(require 'pkv', arg[1])"):format(program:format(moment, stop))
         local output = helper.run_well(code, path)
         whole = output == ""
         if not whole then assert.equal("stopped", output) end
         check_left(path, whole and { a = 1, b = 2, whole = true } or {})
         disk.clean()
         moment = moment + step
      end
   end)
end)
