-- lua.lua KIND FOLDER ENTRIES - what an operation costs in Lua, in nanoseconds, as "measure number".
--
-- KIND is "store" (this store, at its defaults), "table" (a plain table) or "empty" (a table whose
-- metamethods are a C function that does next to nothing: what any binding pays at least).
local kind, folder, entries = arg[1], arg[2], math.tointeger(tonumber(arg[3]))
-- The clock below ticks a hundred times a second.
local SECONDS_MIN = 0.5

local function open()
   if kind == "store" then
      return assert(require "pkv".open(folder))
   elseif kind == "empty" then
      return setmetatable({}, { __index = rawequal, __newindex = rawequal })
   end
   return {}
end

-- Wall-clock time; os.clock would count the store's background thread too.
local function now()
   local file <close> = assert(io.open "/proc/uptime")
   return file:read "n"
end

local function make_keys()
   local keys = {}
   math.randomseed(1)
   for i = 1, entries do
      keys[i] = string.format("%016x", math.random(0))
   end
   return keys
end

local function report(measure, seconds, operations)
   print(string.format("%s %.9g", measure, seconds / operations * 1e9))
end

-- Runs pass, which does `entries` operations, until the clock is good enough.
local function measure(name, pass)
   local passes, start = 0, now()
   local seconds
   repeat
      pass()
      passes = passes + 1
      seconds = now() - start
   until seconds >= SECONDS_MIN
   report(name, seconds, passes * entries)
end

local keys = make_keys()
local values = { string.rep("x", 100), string.rep("y", 100) }
local store = open()
collectgarbage()

local start = now()
for i = 1, entries do
   store[keys[i]] = values[1]
end
report("insert", now() - start, entries)

measure("overwrite", function()
   local value = values[2]
   for i = 1, entries do
      store[keys[i]] = value
   end
end)

-- The collector runs, since a store makes the string anew for each read.
measure("get", function()
   local value
   for i = 1, entries do
      value = store[keys[i]]
   end
   return value
end)

if kind ~= "empty" then
   measure("pairs", function()
      local count = 0
      for _ in pairs(store) do
         count = count + 1
      end
      assert(count == entries)
   end)
end
if kind == "store" then
   require "pkv".close(store)
end
