--- Nothing that happens to a Lua program breaks a store that it uses, or leaves one of its locks held:
-- errors at any call and allocation, whatever arguments, handles that are closed, coroutines. After each
-- of them another thread works on every shard of the store, and what the store holds is what it held
-- before the call, or what the call was to lead to. Collections are in lua_collector_spec.
local pkv = require "pkv"
local internals = require "pkv_internals.lua"
local stress = require "pkv_internals.stress"
local calls = require "spec.support.lua_calls"
local disk = require "spec.support.disk"
local compat = require "spec.support.compat"
local helper = require "spec.support.helper"
local random = require "spec.support.random"

local same, content = helper.same, helper.content
local check_free, check_closed = calls.check_free, calls.check_closed

local codec = { encode = function(value) return "<" .. value end, decode = function(bytes) return bytes:sub(2) end }
local codec_code = '{ encode = function(v) return "<" .. v end, decode = function(b) return b:sub(2) end }'

-- Of the functions that the module has: those that do not work on an open store, and of the others those
-- that do not tell of events.
local TAKES_CLOSED, NO_EVENTS = {}, { ["pkv.store.__len"] = true }
for _, name in ipairs {
   "pkv.open", "pkv.close", "pkv.prune_backups", "pkv.delete_failed_pending_snapshots", "pkv.check", "pkv.repair",
   "pkv.is_store", "pkv.store.__tostring", "pkv.store.__close", "pkv.store.__gc", "pkv.cursor.__close",
   "pkv.cursor.__gc", "pkv.buffer.__gc", "pkv.findings.__gc",
} do
   TAKES_CLOSED[name], NO_EVENTS[name] = true, name ~= "pkv.close"
end

local path, store

local function open_all()
   path = disk.folder()
   store = calls.prepare(path)
end

local function close_all()
   if store then pkv.close(store) end
   store = nil
   disk.clean()
end

describe("the calls of these specs", function()
   it("are of all functions and metamethods that the module has", function()
      open_all()
      local called = {}
      for _, call in ipairs(calls.list) do
         calls.reset(store)
         call.call(store, path)
         called[call.of] = true
      end
      assert.same(calls.exported(), called)
      close_all()
   end)
end)

--- Makes the call again and again with `disturb(moment, call, store, path)`, which returns whether that
-- moment came, whether the call was done, and else its error. Tries each step-th moment.
local function at_every_moment(step, call, disturb)
   calls.reset(store)
   call(store, path)
   local after = content(store)
   local came, moment, done, problem = true, 0, nil, nil
   while came do
      calls.reset(store)
      came, done, problem = disturb(moment, call, store, path)
      local now = content(store)
      if not same(now, after) then
         assert.is_true(same(now, calls.base), "something else is in the store")
         assert.is_false(done)
      end
      check_free(path)
      check_closed(path .. "-other", path .. "-coded", path .. "-integers", path .. "-closed")
      moment = moment + step
   end
   assert.is_true(done, problem)
end

describe("lack of memory at any allocation in", function()
   setup(open_all)
   teardown(close_all)
   for _, call in ipairs(calls.list) do
      it(call.name .. " is an error, and holds no lock", function()
         for _, once in ipairs { true, false } do
            at_every_moment(helper.stride, call.call, function(moment, ...)
               local exhausted, done, problem = stress.fail_allocations(moment, once, ...)
               -- As an error, or, where the call has asked for it, as a result that its assert finds.
               if not done then assert.is_string(problem) end
               return exhausted, done, problem
            end)
         end
      end)
   end
end)

describe("lack of memory at any allocation while the module is loaded and used for the first time", function()
   setup(open_all)
   teardown(close_all)

   --- For a Lua state that has the module, which it is made to forget. Raises what there is then.
   local code = [[
      local _, path = ...
      local stress, calls = require "pkv_internals.stress", require "spec.support.lua_calls"
      local registry = debug.getregistry()
      package.loaded.pkv = nil
      for name in pairs(registry) do
         if type(name) == "string" and name:find "^pkv%%." then registry[name] = nil end
      end
      local function first()
         local pkv = require "pkv"
         assert(#assert(pkv.check(path .. "-damaged")).findings == 2)
         local store = assert(pkv.open(path .. "-other"))
         store.x = { ("x"):rep(5000) }
         for _, value in pkv.each(store) do assert(#value[1] == 5000) end
         assert(pkv.close(store))
      end
      local exhausted, done, problem = stress.fail_allocations(%d, %s, first)
      if not exhausted and not done then error(problem, 0) end
      package.loaded.pkv = nil -- else Lua 5.1 says that it could not be loaded
      first()
      local names = { exhausted and "more" or "all" }
      for name in pairs(calls.exported()) do names[#names + 1] = name end
      error(table.concat(names, " "), 0)]]

   it("leaves nothing behind that makes it incomplete", function()
      for _, once in ipairs { true, false } do
         local moment, came = 0, true
         while came do
            local _, answer, live = internals.run_with_allocations(code:format(moment, tostring(once)), path, 2 ^ 40)
            came = answer:match "^more "
            assert.is_truthy(came or answer:match "^all ", answer)
            local names = {}
            for name in answer:gmatch " (%S+)" do names[name] = true end
            assert.same(calls.exported(), names)
            assert.equal(0, live)
            check_closed(path .. "-other")
            check_free(path .. "-other")
            moment = moment + helper.stride
         end
      end
   end)
end)

describe("an error raised at any call and return in", function()
   setup(open_all)
   teardown(close_all)

   --- A function that calls body(call, ...) in a coroutine, in which a hook raises an error at the given
   -- call or return.
   local function interrupted(body)
      return function(moment, ...)
         local count, came, problem = -1, false, {}
         local function hook()
            count = count + 1
            if count ~= moment then return end
            came = true
            error(problem)
         end
         local done, raised = coroutine.resume(coroutine.create(function(...)
            debug.sethook(hook, "cr")
            body(...)
            debug.sethook()
         end), ...)
         debug.sethook()
         return came, done, raised
      end
   end

   local caught = interrupted(function(...)
      local done, raised = pcall(...)
      if not done then error(raised, 0) end
   end)
   local left_in_a_dead_coroutine = interrupted(function(call, ...) call(...) end)

   -- In LuaJIT, stores have metamethods that make calls in Lua: three times as many moments.
   local step = compat.is_luajit and 3 * helper.stride or helper.stride

   for _, call in ipairs(calls.list) do
      it(call.name .. " passes, and holds no lock", function()
         at_every_moment(step, call.call, caught)
         at_every_moment(step, call.call, left_in_a_dead_coroutine)
      end)
   end
end)

describe("an error raised by", function()
   after_each(function()
      if store then pkv.close(store) end
      store = nil
      disk.clean()
   end)

   local coded = {
      function(s) s.a = "new" end,
      function(s) assert(pkv.set(s, "new", "new")) end,
      function(s) assert(pkv.get(s, "a") and s.b) end,
      function(s) for key, value in pkv.each(s) do assert(key and value) end end,
      function(s) for key, value in compat.pairs(s) do assert(key and value) end end,
   }

   for _, which in ipairs { "encode", "decode" } do
      it(which .. " passes at each of its calls, and holds no lock", function()
         path = disk.folder()
         local left, problem = math.huge, {}
         local function fail(f)
            return function(...)
               left = left - 1
               if left == 0 then error(problem) end
               return f(...)
            end
         end
         local values = { encode = codec.encode, decode = codec.decode }
         values[which] = fail(values[which])
         store = assert(pkv.open(path, { values = values, memory_shards = 2 }))
         local failures = 0
         for _, operation in ipairs(coded) do
            local number = 1
            repeat
               left = math.huge
               store.a, store.b, store.new = "one", "two", nil
               left = number
               local done, raised = pcall(operation, store)
               left = math.huge
               if not done then
                  assert.equal(problem, raised)
                  assert.is_true(same({ a = "one", b = "two" }, content(store)))
                  failures = failures + 1
               end
               check_free(path, codec_code)
               number = number + 1
            until done
         end
         assert.is_true(failures >= 2)
      end)
   end

   it("on_event passes through each function that tells of events, and holds no lock", function()
      path = disk.folder()
      local problem, armed = {}, false
      local options = { memory_shards = 2, on_event = function() if armed then error(problem) end end }
      for name in pairs(calls.exported()) do
         store = assert(pkv.open(path, options))
         local other = assert(pkv.open(path))
         assert(pkv.snapshot(other)) -- what the next call has to tell of
         assert(pkv.close(other))
         armed = true
         local done, raised = pcall(calls.find(name), store, "a", 1)
         armed = false
         if NO_EVENTS[name] then
            assert(done or raised ~= problem, name)
         else
            assert.is_false(done, name)
            assert.equal(problem, raised)
         end
         check_free(path)
         assert(pkv.close(store))
         check_closed(path)
      end
   end)

   it("any metamethod does not come about: none of a value, a key or an option is called", function()
      local hostile = {}
      for _, event in ipairs { "index", "newindex", "call", "pairs", "ipairs", "len", "tostring", "eq", "lt", "le",
                               "concat", "unm", "add", "name", "close", "metatable", "mode" } do
         hostile["__" .. event] = function() error("__" .. event) end
      end
      hostile.__mode = nil -- is no function
      local function armed(table) return setmetatable(table, hostile) end
      path = disk.folder()
      store = assert(pkv.open(path, armed { memory_shards = 2, values = armed { encode = codec.encode,
                                                                               decode = codec.decode } }))
      assert(pkv.close(store))
      store = assert(pkv.open(path .. "-any", armed { memory_shards = 2 }))
      store.a = armed { 1, armed { b = armed { "deep" } }, "three" }
      assert.is_true(same({ 1, { b = { "deep" } }, "three" }, store.a))
      assert(pkv.set(store, "b", armed { x = armed {} }))
      assert.is_true(same({ x = {} }, store.b))
      for _, call in ipairs {
         function() return store[armed {}] end, function() store[armed {}] = 1 end,
         function() return pkv.get(armed {}, "a") end, function() return pkv.open(armed {}) end,
         function() store.c = { [armed {}] = 1 } end, function() return pkv.open(path, { values = armed {} }) end,
         function() return pkv.check(armed {}) end, function() return pkv.repair(path, { output = armed {} }) end,
      } do
         local message = helper.raised(call)
         assert.is_nil(message:match "__%l+")
      end
      assert.is_false(pkv.is_store(armed {}))
      assert.equal(2, #store)
      check_free(path .. "-any")
   end)
end)

describe("a closed store", function()
   before_each(open_all)
   after_each(close_all)

   it("is an error in every function that wants an open one, and holds no lock", function()
      local iterator = pkv.each(store)
      iterator()
      assert(pkv.close(store))
      for name in pairs(calls.exported()) do
         local done, problem = pcall(calls.find(name), store, "a", 1)
         if not TAKES_CLOSED[name] then
            assert.is_false(done, name)
            assert.match("the store is closed", problem, 1, true)
         end
      end
      for _, f in ipairs {
         function() return store.a end, function() store.a = 1 end, function() store.a = nil end,
         function() return #store end, function() return compat.pairs(store) end, iterator,
      } do
         assert.match("the store is closed", helper.raised(f), 1, true)
      end
      assert.is_true(pkv.close(store))
      assert.match("closed", tostring(store))
      assert.is_true(pkv.is_store(store))
      check_closed(path)
      check_free(path)
   end)

   it("may be closed by an encoder, a decoder, on_event and a loop in the middle of any call", function()
      local function closing(options)
         local folder = disk.folder()
         local this
         local close = function(value)
            if this then pkv.close(this) end
            return value
         end
         if options == "on_event" then
            this = assert(pkv.open(folder, { on_event = close }))
         else
            local values = { encode = codec.encode, decode = codec.decode }
            local s = assert(pkv.open(folder, { values = values }))
            s.a = "a"
            s.b = "b"
            assert(pkv.close(s))
            values[options] = function(value) return close(codec[options](value)) end
            this = assert(pkv.open(folder, { values = values }))
         end
         return this, folder
      end
      for _, options in ipairs { "on_event", "encode", "decode" } do
         for _, operation in ipairs {
            function(s) s.a = "new" end, function(s) return s.a end, function(s) return pkv.get(s, "a") end,
            function(s) for _ in pkv.each(s) do pkv.snapshot(s) end end, function(s) return pkv.snapshot(s) end,
            function(s) for _ in compat.pairs(s) do pkv.close(s) end end, function(s) return pkv.stats(s) end,
            function(s) for _ in pkv.drain(s) do pkv.close(s) end end,
         } do
            local this, folder = closing(options)
            pcall(operation, this)
            pkv.close(this)
            check_closed(folder)
            check_free(folder, options ~= "on_event" and codec_code or nil)
         end
      end
   end)
end)

describe("whatever arguments", function()
   after_each(close_all)

   it("a function is called with, it works or fails, and holds no lock", function()
      random.rounds(1, function()
         path = disk.folder()
         local names = {}
         for name in pairs(calls.exported()) do names[#names + 1] = name end
         table.sort(names)
         local options = { memory_shards = 2, values = codec, on_event = function() end }
         local arguments = {
            0, 1, -1, 0.5, 2 ^ 53, -2 ^ 63, 2 ^ 63, 0 / 0, 1 / 0, true, false, "", "a", "\0", ("x"):rep(5000),
            path, path .. "-2", path .. "-3", path .. "-none\0", {}, { keys = "u8" }, { values = "string" }, options,
            { output = path .. "-4" }, { output = path .. "-5", keys = "string" }, { in_place = true },
            { 1, { x = 2 } }, setmetatable({}, { __index = error }), print, function() end,
            coroutine.create(function() end), io.stdout, codec.encode, debug.getregistry()["pkv.store"],
         }
         local fixed = #arguments
         if compat.has_ffi then arguments[fixed] = loadstring "return 1LL" () end
         for _ = 1, 3000 / helper.stride do
            local picked, count = {}, math.random(0, 4)
            for i = 1, count do picked[i] = arguments[math.random(#arguments)] end
            if math.random(2) == 1 then picked[1] = arguments[math.min(fixed + math.random(8), #arguments)] end
            local name, kind = names[math.random(#names)], type(picked[1])
            if TAKES_CLOSED[name] and (kind == "number" or kind == "string") and picked[1] ~= "" then
               picked[1] = path .. "-3" -- lest it is a folder of somebody else's
            end
            local results = { pcall(calls.find(name), compat.unpack(picked, 1, count)) }
            -- Stores, iterators and cursors are arguments of what comes after.
            for i = 2, 5 do
               kind = type(results[i])
               if results[1] and (kind == "userdata" or kind == "cdata" or kind == "function") then
                  arguments[fixed + math.random(8)] = results[i]
               end
            end
            for i = fixed + 1, fixed + 8 do arguments[i] = arguments[i] or path end
         end
         for i = 1, #arguments do arguments[i] = nil end
         check_closed(path, path .. "-2", path .. "-3")
      end)
   end)
end)

describe("coroutines", function()
   before_each(open_all)
   after_each(close_all)

   it("may do anything, and be wrapped in each other", function()
      for _, call in ipairs(calls.list) do
         calls.reset(store)
         local depth = 0
         local function dive()
            depth = depth + 1
            if depth < 5 then return coroutine.wrap(dive)() end
            call.call(store, path)
         end
         dive()
         check_free(path)
      end
   end)

   it("that yield from an encoder, a decoder or on_event get an error, and hold no lock", function()
      local yields = false
      local function yield(value)
         if yields then coroutine.yield() end
         return value
      end
      local folder = disk.folder()
      local coded = assert(pkv.open(folder, { memory_shards = 2, on_event = yield, values = {
         encode = function(value) return yield(codec.encode(value)) end,
         decode = function(bytes) return yield(codec.decode(bytes)) end } }))
      coded.a = "a"
      for _, operation in ipairs {
         function() coded.a = "b" end, function() return coded.a end, function() pkv.set(coded, "a", "b") end,
         function() return pkv.get(coded, "a") end, function() return (pkv.each(coded))() end,
         function() return pkv.snapshot(coded) end,
      } do
         yields = true
         local co = coroutine.create(operation)
         local done, problem = coroutine.resume(co)
         yields = false
         assert.is_false(done)
         assert.match("yield", problem)
         assert.equal("dead", coroutine.status(co))
         check_free(folder, codec_code)
         assert.equal("a", coded.a)
      end
      assert(pkv.close(coded))
   end)

   it("may yield in loops, share an iterator, die in one, or be left in one", function()
      for i = 1, 50 do store["key " .. i] = i end
      local function walk()
         for key in pkv.each(store) do coroutine.yield(key) end
      end
      local iterator, seen = pkv.each(store), {}
      local sharing = {}
      for i = 1, 3 do
         sharing[i] = coroutine.wrap(function()
            for key in iterator do coroutine.yield(key) end
         end)
      end
      repeat
         local more = false
         for i = 1, 3 do
            local key = sharing[i] and sharing[i]()
            if key then
               assert.is_nil(seen[key])
               seen[key], more = true, true
            else
               sharing[i] = false
            end
         end
      until not more
      for i = 1, 50 do assert.is_true(seen["key " .. i]) end

      for _ = 1, 20 do
         local left = coroutine.create(walk)
         assert(coroutine.resume(left))
         local dead = coroutine.create(function()
            for _ in pkv.each(store) do error "out" end
         end)
         assert.is_false(coroutine.resume(dead))
         if coroutine.close then
            local closed = coroutine.create(walk)
            assert(coroutine.resume(closed))
            assert.is_true(coroutine.close(closed))
         end
         check_free(path)
      end
      collectgarbage()
      check_free(path)
      assert.equal(54, #store)
   end)

   it("may be closed, or die, with <close> variables that are stores and iterators", function()
      if not compat.has_close then return end
      local run = assert(load [[
         local pkv, path, how = ...
         local co = coroutine.create(function()
            local first <close> = assert(pkv.open(path))
            local second <close> = assert(pkv.open(path .. "-other"))
            local handler <close> = setmetatable({}, { __close = function() first.closing = second.x or 1 end })
            for key in pkv.each(first) do
               if how == "error" then error "out" end
               second[key] = 1
               coroutine.yield(key)
            end
         end)
         coroutine.resume(co)
         if how ~= "leave" then coroutine.close(co) end]])
      for _, how in ipairs { "close", "error", "leave" } do
         store.closing = nil
         run(pkv, path, how)
         collectgarbage()
         collectgarbage()
         assert.equal(how ~= "leave" and 1 or nil, store.closing)
         check_free(path)
         check_closed(path .. "-other")
      end
   end)
end)
