-- driver.lua PEER CLASS FOLDER ENTRIES SECONDS - what an operation costs in Lua, with the loop around it
-- and the garbage collector running. Prints lines "step measure number", in nanoseconds.
--
-- A peer is a file in this folder that returns a table:
--    settings    how the store is set up for each class of durability that it has
--    open        function(folder, class, entries), gives a table of names for the statements below
--    close       function(that table), optional
--    set, get, remove, count
--                Lua statements with `k` and `v` and those names; `get` assigns to v, `count` to n;
--                all but set and get are optional
-- They are pasted into the loops, so that nothing but the store's own interface is measured. This file
-- and the peers' run on Lua 5.1 too, for LuaJIT.
local peer_name, class, folder = arg[1], arg[2], arg[3]
local entries, seconds = tonumber(arg[4]), tonumber(arg[5])
local BLOCK, WARM = 1000, 1000
local here = arg[0]:match "^(.*)/"

-- luacheck: globals jit loadstring unpack
local now
if jit then
   local ffi = require "ffi"
   ffi.cdef "typedef struct { long s, ns; } bench_time; int clock_gettime(int, bench_time *);"
   local t = ffi.new "bench_time"
   now = function()
      ffi.C.clock_gettime(1, t)
      return tonumber(t.s) + tonumber(t.ns) / 1e9
   end
else
   now = require("bench_c").now
end

local function report(step, measure, number)
   io.write(string.format("%s %s %.9g\n", step, measure, number))
end

local peer = dofile(here .. "/" .. peer_name .. ".lua")
assert(peer.settings[class], peer_name .. " has no such class of durability")
io.write("settings ", peer.settings[class], "\n")

-- A function of (keys, first, last, value) that does the statement for each of these keys and returns
-- the last value.
local function compile(names, statement)
   local list, values = {}, {}
   for name, value in pairs(names) do
      list[#list + 1] = name
      values[#values + 1] = value
   end
   local source = string.format(
      "local %s = ... return function(keys, first, last, v) local n = 0 "
         .. "for i = first, last do local k = keys[i] %s end return v, n end",
      table.concat(list, ", "),
      statement
   )
   return assert((loadstring or load)(source))((unpack or table.unpack)(values))
end

-- Does all keys once, and again until the time is up; a block of keys at a time.
local function measure(step, operation, keys, value, once)
   local done, start, last = 0, now(), nil
   local time
   repeat
      for first = 1, #keys, BLOCK do
         local to = math.min(first + BLOCK - 1, #keys)
         last = operation(keys, first, to, value)
         done = done + to - first + 1
         time = now() - start
         if time >= seconds and not once then
            break
         end
      end
   until once or time >= seconds
   report(step, "ns", time / done * 1e9)
   return last
end

local function make_keys(count)
   local keys = {}
   math.randomseed(1)
   for i = 1, count do
      keys[i] = string.format("%08x%08x", math.random(0, 2147483647), i)
   end
   return keys
end

-- Reads and sets a few entries that stay in the caches, or goes through all that a store has.
local function run_warm(names, set, get)
   local keys, values = make_keys(WARM), { string.rep("x", 100), string.rep("y", 100) }
   set(keys, 1, WARM, values[1])
   measure("warm:set", set, keys, values[2])
   measure("warm:get", get, keys)
   if peer.close then
      peer.close(names)
   end
end

local function run_all(names, set, get)
   local keys, values = make_keys(entries), { string.rep("x", 100), string.rep("y", 100) }
   collectgarbage()
   measure("load", set, keys, values[1], true)
   measure("set", set, keys, values[2])
   local seen = measure("get", get, keys)
   assert(#seen == 100, "what was read is not what was set")
   if peer.count then
      local start = now()
      local _, n = compile(names, peer.count)({ "" }, 1, 1)
      report("pairs", "ns", (now() - start) / n * 1e9)
      assert(n == entries, "not all entries were seen once")
   end
   if peer.remove then
      measure("remove", compile(names, peer.remove), keys, nil, true)
   end
   if peer.close then
      peer.close(names)
   end
end

for _, part in ipairs { { run_warm, "/warm", WARM }, { run_all, "/all", entries } } do
   local names = peer.open(folder .. part[2], class, part[3])
   part[1](names, compile(names, peer.set), compile(names, peer.get))
end
