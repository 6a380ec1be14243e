--- What lua_collector_spec does, in Lua states that hold little else: all garbage is collected thousands of
-- times. Each function works on a store that it opens, in a folder of its own, and leaves it open.
local pkv = require "pkv"
local stress = require "pkv_internals.stress"
local calls = require "spec.support.lua_calls"
local compat = require "spec.support.compat"
local helper = require "spec.support.helper"

local same, content = helper.same, helper.content

local lua_collections = {}

--- run(call, ...), for which there is a new object of garbage at every collection; f(n) is the finalizer of
-- the n-th. Returns what pcall would, and how many there were.
local function littered(f, run, call, ...)
   local count, over = 0, false
   local function drop()
      compat.finalizer(function()
         if over then return end
         count = count + 1
         drop()
         f(count)
      end)
   end
   local done, problem = run(function(...)
      drop()
      call(...)
      over = true
   end, ...)
   over = true
   return done, problem, count
end

local function expected_after(call, store, path)
   calls.reset(store)
   call(store, path)
   return content(store)
end

local function check(is_true, name, problem)
   if not is_true then error(name .. ": " .. tostring(problem), 0) end
end

--- Each call does what it should where whatever can be collected is collected.
function lua_collections.always(path)
   local store = calls.prepare(path)
   for _, call in ipairs(calls.list) do
      local after = expected_after(call.call, store, path)
      calls.reset(store)
      local done, problem = stress.collect_always(call.call, store, path)
      check(done, call.name, problem)
      check(same(after, content(store)), call.name, "something else is in the store")
      calls.check_free(path)
   end
end

--- Each call does what it should in a finalizer.
function lua_collections.in_finalizers(path)
   local store = calls.prepare(path)
   for _, call in ipairs(calls.list) do
      local after = expected_after(call.call, store, path)
      calls.reset(store)
      local done, problem
      compat.finalizer(function() done, problem = pcall(call.call, store, path) end)
      collectgarbage()
      collectgarbage()
      check(done, call.name, problem)
      check(same(after, content(store)), call.name, "something else is in the store")
      calls.check_free(path)
   end
end

--- Uses the store in all ways that leave it as it is, and its iterator, if that is open.
local function use(store, path, iterator)
   assert(pkv.set(store, "mine", { 1, "two" }) and store.mine[2] == "two")
   store.mine = ("mine"):rep(1000)
   assert(pkv.get(store, "mine") == ("mine"):rep(1000) and pkv.get(store, "none", 1) == 1)
   assert(pkv.unset(store, "mine") and store.mine == nil)
   local count = 0
   for key in pkv.each(store) do count = count + (key and 1) end
   for key in compat.pairs(store) do count = count - (key and 1) end
   assert(count == 0 and tostring(store):find(path, 1, true) and pkv.stats(store).entries == #store)
   assert(pkv.sync(store) and pkv.is_store(store))
   local again = assert(pkv.open(path))
   assert(#again == #store and pkv.close(again))
   pcall(iterator)
end

--- Each call does what it should while finalizers use the same store, and make calls with another one.
function lua_collections.disturbed(path)
   local store, other = calls.prepare(path), calls.prepare(path .. "-2")
   local iterator = pkv.each(store)
   local number, disturbances = 0, 0
   for _, call in ipairs(calls.list) do
      local after = expected_after(call.call, store, path)
      calls.reset(store)
      local problem
      local done, message, count = littered(function(n)
         local fine, what = pcall(function()
            use(store, path, iterator)
            if n % helper.stride ~= 0 then return end
            number = number % #calls.list + 1
            calls.reset(other)
            calls.list[number].call(other, path .. "-2")
            if n % 20 == 0 then iterator = pkv.each(store) end
         end)
         if not fine then problem = what end
      end, stress.collect_always, call.call, store, path)
      disturbances = disturbances + count
      check(done, call.name, message)
      check(not problem, "a finalizer in " .. call.name, problem)
      check(same(after, content(store)), call.name, "something else is in the store")
      calls.check_free(path)
      calls.check_free(path .. "-2")
   end
   assert(disturbances > 0)
end

--- An error in a finalizer passes, where this Lua lets it, at any place of the call where it may collect.
function lua_collections.failing(path)
   local store = calls.prepare(path)
   for _, call in ipairs(calls.list) do
      local after = expected_after(call.call, store, path)
      local moment, came = 1, true
      while came do
         calls.reset(store)
         came = false
         local done, problem = littered(function(n)
            if n ~= moment then return end
            came = true
            error "on purpose"
         end, stress.collect_always, call.call, store, path)
         check(done or came, call.name, problem)
         local now = content(store)
         check(same(after, now) or (not done and same(calls.base, now)), call.name, "something else is in the store")
         calls.check_free(path)
         moment = moment + helper.stride
      end
   end
   calls.check_closed(path .. "-other", path .. "-coded", path .. "-integers", path .. "-closed")
end

local modes = {
   ["a collector that never pauses"] = function() compat.set_pause(0) end,
   ["a collection that is generational"] = function()
      if compat.has_close then collectgarbage "generational" end
   end,
   ["a collection at every few instructions"] = function()
      collectgarbage "stop"
      debug.sethook(function() collectgarbage("step", 100) end, "", 20)
   end,
   ["a collection at every call and return"] = function()
      collectgarbage "stop"
      debug.sethook(function() collectgarbage() end, "cr")
   end,
}

--- Random changes and readings of all kinds, compared with a table.
local function work(store, steps)
   local model = {}
   for key, value in pairs(calls.base) do model[key] = value end
   for i = 1, steps do
      local key = "key " .. math.random(20)
      local value = ({ i, "text " .. i, { i, { text = ("t"):rep(i % 70) } }, ("l"):rep(i * 13 % 3000) })[i % 4 + 1]
      if i % 5 == 0 then value = nil end
      store[key], model[key] = value, value
      local other = "key " .. math.random(20)
      assert(same(model[other], pkv.get(store, other)), "not what was stored")
      if i % 25 == 0 then
         local seen = {}
         for k, v in pkv.each(store) do seen[k] = v end
         assert(same(model, seen), "not what pairs should give")
      end
      if i % 100 == 0 then assert(pkv.snapshot(store)) end
   end
   assert(same(model, content(store)), "something else is in the store")
end

--- In each mode of the collector, with finalizers that use the store.
function lua_collections.random(path, seed)
   math.randomseed(seed)
   local store = calls.prepare(path)
   for name, begin in pairs(modes) do
      calls.reset(store)
      local problem
      begin()
      local done, message = littered(function()
         local fine, what = pcall(use, store, path)
         if not fine then problem = what end
      end, pcall, work, store, math.ceil(120 / helper.stride))
      debug.sethook()
      collectgarbage "restart"
      if compat.has_close then collectgarbage "incremental" end
      compat.set_pause(200)
      check(done, name, message)
      check(not problem, "a finalizer during " .. name, problem)
      calls.check_free(path)
   end
end

return lua_collections
