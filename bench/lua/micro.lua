-- micro.lua - what the Lua module itself costs, in cache, beside the least that could be: the median of
-- seven rounds that take turns, in ns per operation, as rows of a Markdown table. In LuaJIT the least
-- is a call through the FFI library that makes the string; elsewhere a C metamethod that does nothing.
-- Tables are set beside lua-cjson, where that is installed: what setting or getting one costs more than
-- its text does.
-- luacheck: globals jit
local pkv = require "pkv"

local ROUNDS, KEYS = 7, 100
local path = os.tmpname()
os.remove(path)
local store = assert(pkv.open(path))
local keys, value = {}, ("x"):rep(100)
for i = 1, KEYS do
   keys[i] = "key " .. i
   store[keys[i]] = value
end

--- Seconds by the wall, not of the processor: other threads make room in the log.
local now
if rawget(_G, "jit") then
   local ffi = require "ffi"
   ffi.cdef "struct timespec { long tv_sec, tv_nsec; }; int clock_gettime(int, struct timespec *);"
   local time, MONOTONIC = ffi.new "struct timespec", 1
   now = function()
      ffi.C.clock_gettime(MONOTONIC, time)
      return tonumber(time.tv_sec) + tonumber(time.tv_nsec) / 1e9
   end
else
   now = require("bench_c").now
end

local measured = {}

--- Adds f(count), which does something so many times, to what is measured.
local function measure(name, count, f) measured[#measured + 1] = { name = name, count = count, f = f, times = {} } end

local function run()
   for _ = 1, ROUNDS do
      for _, m in ipairs(measured) do
         collectgarbage()
         local start = now()
         m.f(m.count)
         table.insert(m.times, (now() - start) / m.count * 1e9)
      end
   end
   local medians = {}
   for _, m in ipairs(measured) do
      table.sort(m.times)
      medians[m.name] = m.times[(ROUNDS + 1) / 2]
   end
   return medians
end

local function row(what, ns, against, least)
   print(("| %s | %.0f | %s | %.0f | %.2f |"):format(what, ns, against, least, ns / least))
end

measure("loop", 1e6, function(n)
   local _
   for i = 1, n do _ = keys[i % KEYS + 1] end
end)
measure("get", 1e6, function(n)
   local _
   for i = 1, n do _ = store[keys[i % KEYS + 1]] end
end)
measure("set", 3e5, function(n)
   for i = 1, n do store[keys[i % KEYS + 1]] = value end
end)

print "| what | ns | beside | ns | ratio |\n| --- | ---: | --- | ---: | ---: |"
if rawget(_G, "jit") then
   local ffi = require "ffi"
   ffi.cdef "size_t strnlen(const char *, size_t);"
   local bytes = ffi.new("char[128]", value)
   measure("string", 1e6, function(n)
      local _
      for i = 1, n do
         bytes[0] = i % KEYS
         _ = ffi.string(bytes, ffi.C.strnlen(bytes, 100))
      end
   end)
   local ns = run()
   row("LuaJIT: store[k]", ns.get - ns.loop, "an FFI call that makes the string", ns.string - ns.loop)
   row("LuaJIT: store[k] = v", ns.set - ns.loop, "the same", ns.string - ns.loop)
else
   local empty = require("bench_c").empty(100)
   measure("empty get", 1e6, function(n)
      local _
      for i = 1, n do _ = empty[keys[i % KEYS + 1]] end
   end)
   measure("empty set", 1e6, function(n)
      for i = 1, n do empty[keys[i % KEYS + 1]] = value end
   end)
   local has_cjson, cjson = pcall(require, "cjson")
   -- Ten fields, one of them a table.
   local record = { id = 4711, name = "Jane Example", mail = "jane@example.org", score = 98.5, active = true,
                    level = 12, guild = "wanderers", gold = 123456, seen = 1700000000,
                    position = { x = 1.5, y = 2.25, z = -7 } }
   if has_cjson then
      local text = cjson.encode(record)
      measure("encode", 1e5, function(n) for _ = 1, n do cjson.encode(record) end end)
      measure("decode", 1e5, function(n) for _ = 1, n do cjson.decode(text) end end)
      measure("set text", 1e5, function(n) for _ = 1, n do store.text = text end end)
      measure("set table", 1e5, function(n) for _ = 1, n do store.record = record end end)
      measure("get text", 1e5, function(n) for _ = 1, n do local _ = store.text end end)
      measure("get table", 1e5, function(n) for _ = 1, n do local _ = store.record end end)
      store.text, store.record = text, record
   end
   local ns = run()
   row("store[k]", ns.get - ns.loop, "a C metamethod that pushes as many bytes", ns["empty get"] - ns.loop)
   row("store[k] = v", ns.set - ns.loop, "a C metamethod that does nothing", ns["empty set"] - ns.loop)
   if has_cjson then
      row("a table into its bytes", ns["set table"] - ns["set text"], "cjson.encode", ns.encode)
      row("and back", ns["get table"] - ns["get text"], "cjson.decode", ns.decode)
   end
end

pkv.close(store)
os.execute("rm -rf '" .. path .. "'")
