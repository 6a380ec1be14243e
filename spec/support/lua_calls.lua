--- Every function of the Lua module, and every metamethod, as calls that specs disturb. Each does all that
-- its function can do, and fails if that does not do what it should.
local pkv = require "pkv"
local stress = require "pkv_internals.stress"
local disk = require "spec.support.disk"
local compat = require "spec.support.compat"
local helper = require "spec.support.helper"

local lua_calls = {}

local registry = debug.getregistry()

--- A function of the module, or a metamethod as it has made it: a C function.
local function method(name)
   local class, event = name:match "^(.*)%.([^.]*)$"
   return (class == "pkv" and pkv or registry[class])[event]
end
lua_calls.find = method

--- The names of all functions that the module has: "pkv.get", "pkv.store.__index".
function lua_calls.exported()
   local names = {}
   for name, value in pairs(pkv) do
      if type(value) == "function" then names["pkv." .. name] = true end
   end
   for class, methods in pairs(registry) do
      if type(class) == "string" and class:find "^pkv%." and type(methods) == "table" then
         for event, value in pairs(methods) do
            if event:find "^__" and type(value) == "function" then names[class .. "." .. event] = true end
         end
      end
   end
   return names
end

--- What is in the store when a call begins.
lua_calls.base = { a = 1, b = "text", c = { 1, { x = true } }, large = ("x"):rep(5000) }

--- An integer that no double holds, where Lua has a value for it.
local wide = compat.has_ffi and loadstring "return 9007199254740993LL" () or compat.integer(2 ^ 53) + 1

local list = {}
lua_calls.list = list

--- A call of a function. It gets the store, and its folder; beside that lie others, see `prepare`.
local function add(of, how, call) list[#list + 1] = { of = of, name = of .. how, call = call } end

add("pkv.get", "", function(s)
   assert(pkv.get(s, "a") == 1 and pkv.get(s, "large") and pkv.get(s, "c")[2].x and pkv.get(s, "none", 5) == 5)
end)
add("pkv.set", " of a table", function(s) assert(pkv.set(s, "a", { 1, "two", { three = 3.5 } })) end)
add("pkv.set", " of a string", function(s) assert(pkv.set(s, "new", ("y"):rep(3000))) end)
add("pkv.set", " of nil", function(s) assert(pkv.set(s, "b", nil)) end)
add("pkv.unset", "", function(s) assert(pkv.unset(s, "large") and not pkv.unset(s, "none")) end)
add("pkv.each", "", function(s)
   local count = 0
   for key, value in pkv.each(s) do count = count + (key and value and 1) end
   assert(count == 4)
end)
add("pkv.sync", "", function(s) assert(pkv.sync(s)) end)
add("pkv.snapshot", "", function(s) assert(pkv.snapshot(s)) end)
add("pkv.stats", "", function(s) assert(pkv.stats(s).entries == 4) end)
add("pkv.open", " of a new folder", function(_, path)
   local options = { values = "any", sync = "os", on_event = function() end, memory_shards = 2 }
   local other = assert(pkv.open(path .. "-other", options))
   other.x = 1
   assert(pkv.close(other))
end)
add("pkv.open", " of what is open", function(s, path)
   local again = assert(pkv.open(path))
   again.a = 2
   assert(s.a == 2 and pkv.close(again))
end)
add("pkv.open", " that fails", function(_, path)
   assert(not pkv.open(path, { keys = "u8" }))
   assert(not pkv.open(path .. "-none", { create = false }))
end)
add("pkv.open", " with functions", function(_, path)
   local told = 0
   local other = assert(pkv.open(path .. "-coded", {
      on_event = function(name, details) told = told + (name and details.seconds and 1) end,
      values = { encode = function(value) return "<" .. value end, decode = function(bytes) return bytes:sub(2) end },
   }))
   other.x = "one"
   assert(pkv.set(other, "y", "two") and other.x == "one" and pkv.get(other, "y") == "two")
   for key, value in pkv.each(other) do assert(key and value) end
   assert(pkv.snapshot(other) and pkv.close(other) and told >= 2)
end)
add("pkv.open", " with integers", function(_, path)
   local other = assert(pkv.open(path .. "-integers", { keys = "u64", values = "i64" }))
   for _, number in ipairs { 1, compat.maxinteger, wide } do
      other[number] = number
      assert(other[number] == number and pkv.get(other, number) == number)
   end
   for key, value in pkv.each(other) do assert(key == value) end
   assert(pkv.close(other))
end)
add("pkv.close", "", function(_, path)
   local other = assert(pkv.open(path .. "-other"))
   assert(pkv.close(other) and pkv.close(other))
end)
add("pkv.drain", "", function(_, path)
   local other = assert(pkv.open(path .. "-other"))
   other.x, other.y = 1, { 2 }
   for key, value in pkv.drain(other) do assert(key and value) end
end)
add("pkv.prune_backups", "", function(_, path) assert(pkv.prune_backups(path .. "-closed", 0)) end)
add("pkv.delete_failed_pending_snapshots", "", function(_, path)
   assert(pkv.delete_failed_pending_snapshots(path .. "-closed"))
end)
add("pkv.check", "", function(_, path) assert(#assert(pkv.check(path .. "-damaged")).findings == 2) end)
add("pkv.check", " that fails", function(_, path) assert(not pkv.check(path .. "-none")) end)
add("pkv.repair", "", function(_, path)
   os.execute("rm -rf " .. path .. "-repaired")
   assert(pkv.repair(path .. "-damaged", { output = path .. "-repaired", keys = "string" }).skipped == 1)
end)
add("pkv.is_store", "", function(s) assert(pkv.is_store(s) and not pkv.is_store({})) end)
add("pkv.get", " and others, with an error", function(s)
   assert(not pcall(pkv.set, s, "a", { { print } }))
   assert(not pcall(pkv.get, s, 1) and not pcall(pkv.each, {}) and not pcall(pkv.open, "", {}))
   assert(not pcall(pkv.open, "x", { kyes = 1 }) and not pcall(pkv.repair, "x", { output = 1 }))
end)

add("pkv.store.__index", "", function(s)
   assert(s.a == 1 and s.b == "text" and s.c[1] == 1 and #s.large == 5000 and s.none == nil)
end)
add("pkv.store.__newindex", " of a table", function(s) s.a = { b = { "c" } } end)
add("pkv.store.__newindex", " of nil", function(s) s.c = nil end)
add("pkv.store.__len", "", function(s) assert(#s == 4) end)
add("pkv.store.__tostring", "", function(s) assert(tostring(s):find("4 entries")) end)
add("pkv.store.__pairs", "", function(s)
   for key, value in compat.pairs(s) do assert(key and value) end
end)
add("pkv.store.__index", " and others, as functions", function(s)
   assert(method "pkv.store.__index"(s, "large") == lua_calls.base.large)
   method "pkv.store.__newindex"(s, "a", { 1, 2 })
   assert(method "pkv.store.__len"(s) == 4 and method "pkv.store.__tostring"(s))
   local iterator, cursor = method "pkv.store.__pairs"(s)
   while iterator(cursor) do cursor = nil end
end)
for _, name in ipairs { "pkv.store.__close", "pkv.store.__gc" } do
   add(name, "", function(_, path)
      local other = assert(pkv.open(path .. "-other"))
      method(name)(other)
      assert(tostring(other):find "closed")
   end)
end
for _, name in ipairs { "pkv.cursor.__close", "pkv.cursor.__gc" } do
   add(name, "", function(s)
      local iterator, _, _, cursor = pkv.each(s)
      assert(iterator())
      method(name)(cursor)
      assert(iterator() == nil)
   end)
end
add("pkv.findings.__gc", "", function(_, path)
   assert(pkv.check(path .. "-damaged"))
   collectgarbage()
end)
if _VERSION < "Lua 5.3" then
   add("pkv.buffer.__gc", "", function(s)
      assert(#s.large == 5000 and not pcall(pkv.set, s, "a", { lua_calls.base.large, print }))
      collectgarbage()
   end)
end


--- Makes the folders that the calls need, and opens the store.
function lua_calls.prepare(path)
   for _, kind in ipairs { "-closed", "-damaged" } do
      local other = assert(pkv.open(path .. kind))
      for i = 1, 5 do other["key " .. i] = "value " .. i end
      assert(pkv.close(other))
   end
   local log = path .. "-damaged/snapshot_1_0-of-1_diff.bin"
   local bytes = helper.read(log)
   helper.write(log, disk.flipped(bytes, disk.records(bytes)[3].upto - 6))
   helper.write(path .. "-damaged/manifest.new", "")
   local store = assert(pkv.open(path, { memory_shards = 2, snapshot_interval = false }))
   lua_calls.reset(store)
   return store
end

--- Makes the store hold what it has to when a call begins.
function lua_calls.reset(store)
   for key in pkv.each(store) do
      if lua_calls.base[key] == nil then store[key] = nil end
   end
   for key, value in pairs(lua_calls.base) do
      if not helper.same(value, store[key]) then store[key] = value end
   end
end

local TAKES_LONG = 300 -- seconds, until a thread counts as waiting for a lock

--- Code for another thread, which shares the store if this one has it open.
local PROBE = [[
   local path = ...
   local pkv = require "pkv"
   local store = assert(pkv.open(path, { memory_shards = 2, values = %s }))
   local count = #store
   for i = 1, 24 do store["probe " .. i] = "p" end
   for i = 1, 24 do assert(store["probe " .. i] == "p") end
   local seen = 0
   for _ in pkv.each(store) do seen = seen + 1 end
   assert(seen == count + 24 and #store == seen)
   for i = 1, 24 do store["probe " .. i] = nil end
   assert(pkv.stats(store) and tostring(store) and pkv.sync(store))
   assert(pkv.close(store))]]

--- Runs code in a Lua state and a thread of its own, with the path as its argument. It is not compiled
-- where this code is not. An error if it raises one, or does not end.
function lua_calls.run_in_thread(code, path)
   if compat.is_luajit and not jit.status() then code = "jit.off() " .. code end
   local ok, problem = stress.run_in_thread(code, path, TAKES_LONG)
   if not ok then error(problem, 2) end
end

--- No lock of the store is held: another thread reads and writes all its shards. `values` is Lua code.
function lua_calls.check_free(path, values) lua_calls.run_in_thread(PROBE:format(values or "nil"), path) end

--- Nobody in this process has one of the folders open any more, once all garbage is collected.
function lua_calls.check_closed(...)
   collectgarbage()
   collectgarbage()
   for _, path in ipairs { ... } do
      local removed, problem, code = pkv.prune_backups(path, 1000)
      if not removed and code ~= "not_found" then error(problem, 2) end
   end
end

return lua_calls
