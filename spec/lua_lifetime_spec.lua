--- How a store ends: <close>, garbage collection, lua_close in any order, os.exit; and on_event.
local lfs = require "lfs"
local pkv = require "pkv"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"

local raised = helper.raised

local function is_open(path)
   local removed, _, code = pkv.prune_backups(path, 1000)
   assert(removed or code == "locked", code)
   return not removed
end

describe("a store is closed", function()
   local path
   before_each(function() path = helper.folder() end)
   after_each(helper.clean)

   if compat.has_close then
      it("at the end of the block of a <close> variable", function()
         compat.with_close(assert(pkv.open(path)), function(store)
            store.x = 1
            assert.is_true(is_open(path))
         end)
         assert.is_false(is_open(path))
      end)

      it("by an error that passes a <close> variable, unchanged", function()
         local problem = {}
         local ok, message = pcall(compat.with_close, assert(pkv.open(path)), function(store)
            store.x = 1
            error(problem)
         end)
         assert.is_false(ok)
         assert.equal(problem, message)
         assert.is_false(is_open(path))
      end)
   end

   it("by the collector, with its cursors in any order", function()
      do
         local store = assert(pkv.open(path))
         store.x = 1
         local kept = { pkv.each(store), pkv.each(store), store }
         kept[1]()
         kept[4] = kept
      end
      collectgarbage()
      collectgarbage()
      assert.is_false(is_open(path))
   end)

   it("by the collector even where its functions refer to it; a cdata and they have to be closed", function()
      local collected = false
      do
         local store, witness
         store = assert(pkv.open(path, { on_event = function() return store, witness end,
            values = { encode = function(x) return store and x end, decode = function(x) return store and x end } }))
         witness = compat.finalizer(function() collected = true end)
         store.x = "1"
         if compat.has_ffi then assert(pkv.close(store)) end
      end
      collectgarbage()
      collectgarbage()
      assert.is_false(is_open(path))
      collectgarbage()
      assert.is_true(collected)
   end)

   it("once: closing again is harmless", function()
      local store = assert(pkv.open(path))
      for _ = 1, 3 do assert.is_true(pkv.close(store)) end
      if compat.has_close then compat.with_close(store, pkv.is_store) end
   end)
end)

--- Each child process leaves a, b and c in the store, however it ends.
local endings = {
   ["falling off the end"] = "",
   ["an error in main"] = "error('out', 0)",
   ["an error inside pairs"] = "for _ in pairs(store) do error('out', 0) end",
   ["os.exit"] = "os.exit(0)",
   ["os.exit with lua_close"] = "os.exit(0, true)",
   ["os.exit inside pairs"] = "for _ in pairs(store) do os.exit(0) end",
   ["os.exit with lua_close inside pairs"] = "for _ in pairs(store) do os.exit(0, true) end",
   ["os.exit with lua_close inside each in a coroutine"] =
      "coroutine.wrap(function() for _ in pkv.each(store) do os.exit(0, true) end end)()",
   ["a suspended loop"] = "co = coroutine.wrap(function() for k in pairs(store) do coroutine.yield(k) end end) co()",
   ["cursors held by globals"] = "x, y = pkv.each(store), pkv.each(store) x() store = nil",
   ["os.exit with lua_close inside a decoder"] = [[
      pkv.close(store)
      local codec = { encode = tostring, decode = function() os.exit(0, true) end }
      local coded = pkv.open(arg[1] .. "coded", { values = codec })
      coded.x = "1"
      local _ = coded.x]],
   ["os.exit inside on_event"] = [[
      local s = pkv.open(arg[1] .. "event", { on_event = function() os.exit(0, true) end })]],
   ["a snapshot that is running"] = "pkv.snapshot(store) os.exit(0)",
   ["a drain left halfway"] = "for _ in pkv.drain(store) do os.exit(0, true) end",
   ["a second store of the same folder"] = "second = pkv.open(arg[1]) second.c = 3",
   ["finalizers that use the store"] = [[
      pkv.close(store)
      local function use(key)
         return require "spec.support.compat".finalizer(function() pcall(function()
            store[key] = 1
            for _ in pairs(store) do end
            iterator()
            tostring(store)
            pkv.close(store)
         end) end)
      end
      early = use("early")
      store = pkv.open(arg[1])
      iterator = pkv.each(store)
      late = use("late")]],
   ["stores opened by finalizers"] = [[
      -- Nothing closes such a store any more, and its threads are at work when the module goes.
      x = require "spec.support.compat".finalizer(function()
         kept = pkv.open(arg[1] .. "late", { sync = 0.001 })
         for i = 1, 2000 do kept["key " .. i] = ("x"):rep(500) end
      end)]],
}
if compat.has_close then
   endings["a <close> variable that is never left"] =
      "co = coroutine.wrap(function() local s <close> = store; coroutine.yield() end) co()"
end

describe("a process may end by", function()
   after_each(helper.clean)
   for name, ending in pairs(endings) do
      it(name .. ", and loses nothing", function()
         local path = helper.folder()
         local output, exit_code = helper.run([[
            pkv = require "pkv"
            store = assert(pkv.open(arg[1]))
            store.a, store.b, store.c = 1, { 2 }, 3
         ]] .. ending, path)
         if ending:find("error") then
            assert.match("out", output)
            assert.equal(1, exit_code)
         else
            assert.equal("", output)
            assert.equal(0, exit_code)
         end
         local store = assert(pkv.open(path))
         assert.equal(1, store.a)
         assert.same({ 2 }, store.b)
         assert.equal(3, store.c)
         assert(pkv.close(store))
      end)
   end
end)

describe("a collection while the store works", function()
   after_each(helper.clean)

   it("may run finalizers that use the same store", function()
      local store = assert(pkv.open(helper.folder()))
      local finalized, big = 0, ("x"):rep(5000)
      local iterator
      local function disturb()
         return compat.finalizer(function()
            finalized = finalized + 1
            store["f" .. finalized % 7] = { big .. finalized }
            local _ = store["f" .. finalized % 5]
            if iterator then pcall(iterator) end
         end)
      end
      compat.set_pause(100)
      for i = 1, 3000 do
         disturb()
         store["k" .. i % 50] = { i, big, { tostring(i) } }
         local value = store["k" .. i % 50]
         assert.equal(i, value[1])
         assert.equal(big, value[2])
         if i % 100 == 0 then
            collectgarbage()
            iterator = pkv.each(store)
            for _ = 1, 1000 do
               disturb()
               local ok, key = pcall(iterator)
               if ok and not key then break end
            end
         end
      end
      compat.set_pause(200)
      iterator = nil
      collectgarbage()
      assert.is_true(finalized > 100)
      pkv.close(store)
   end)
end)

describe("a collection while a string is on its way", function()
   after_each(helper.clean)

   --- Reads, in which a finalizer may run at any time, and use what reads use.
   local function disturbed(options, reads)
      local store = assert(pkv.open(helper.folder(), options))
      local expected, dropped, number, done, iterator = {}, 0, 0, false, nil
      for i = 1, 40 do
         local key = ("%d "):format(i):rep(i % 4 == 0 and 1000 or 1)
         expected[key] = key .. ("%d."):format(i):rep(({ 1, 300, 900, 30000 })[i % 4 + 1])
         store[key] = expected[key]
      end
      local function disturb()
         dropped = dropped + 1
         if dropped % 50 == 0 then collectgarbage() end
         return compat.finalizer(function()
            if done then return end
            number = number + 1
            local key = next(expected)
            local _, _ = store[key], store[("%d "):format(number % 40)]
            store.other = ("other"):rep(number % 50 * 100)
            for k in pkv.each(store) do
               if k ~= "other" then break end
            end
            if iterator then pcall(iterator) end
         end)
      end
      compat.set_pause(50)
      reads(store, expected, disturb, function(i) iterator = i end)
      compat.set_pause(200)
      assert.is_true(number > 20)
      done = true
      assert(pkv.close(store))
   end

   -- Where compiled code is left is another place each time that it is compiled.
   local jit = rawget(_G, "jit")
   jit = jit and jit.status() and jit
   local rounds = jit and 2000 or 300

   for _, values in ipairs { "any", "string" } do
      it("changes nothing in it, with values = " .. values, function()
         disturbed({ values = values }, function(store, expected, disturb)
            for i = 1, rounds do
               disturb()
               for key, value in next, expected do
                  if store[key] ~= value or pkv.get(store, key) ~= value then error("not what was stored") end
               end
               if i % 20 == 0 then collectgarbage "step" end
               if jit and i % 100 == 0 then jit.flush() end
            end
         end)
      end)

      it("changes nothing in what pairs gives, with values = " .. values, function()
         disturbed({ values = values }, function(store, expected, disturb, share)
            for round = 1, 300 do
               local iterator = pkv.each(store)
               if round % 10 == 0 then share(iterator) end
               for _ = 1, 60 do
                  disturb()
                  local ok, key, value = pcall(iterator)
                  if ok and not key then break end
                  if ok and key ~= "other" and value ~= expected[key] then error("not what was stored") end
                  if not ok then assert.match("the iterator was used by a finalizer", key) end
               end
               share(nil)
               if jit and round % 20 == 0 then jit.flush() end
            end
         end)
      end)
   end
end)

describe("on_event", function()
   local path, events, store
   local function listen(name, details) events[#events + 1] = { name = name, details = details } end
   before_each(function()
      path = helper.folder()
      events = {}
   end)
   after_each(function()
      if store then pkv.close(store) end
      store = nil
      collectgarbage()
      helper.clean()
   end)

   it("hears of the restore before open returns", function()
      local first = assert(pkv.open(path))
      first.x, first.y = 1, 2
      assert(pkv.close(first))
      store = assert(pkv.open(path, { on_event = listen }))
      assert.equal(1, #events)
      assert.equal("restored", events[1].name)
      local details = events[1].details
      assert.equal(2, details.entries)
      assert.equal(0, details.cut_bytes)
      assert.equal(compat.type_of_number(0.5), compat.type_of_number(details.seconds))
      assert.equal(compat.type_of_number(1), compat.type_of_number(details.ordinal))
   end)

   it("hears of snapshots, once each", function()
      store = assert(pkv.open(path, { on_event = listen }))
      events = {}
      store.x = 1
      assert(pkv.snapshot(store))
      assert.equal(1, #events)
      assert.equal("published", events[1].name)
      assert.equal(1, events[1].details.entries)
      assert.equal(pkv.stats(store).snapshot_ordinal, events[1].details.ordinal)
      local _ = store.x
      store.x = 2
      assert.equal(1, #events)
   end)

   it("hears of snapshots in the background at the next operation", function()
      store = assert(pkv.open(path, { on_event = listen, snapshot_interval = 100 }))
      events = {}
      local deadline = os.time() + 300
      while #events == 0 and os.time() < deadline do
         for i = 1, 50 do store["k" .. i] = i end
      end
      assert.equal("published", events[1].name)
   end)

   it("hears of a snapshot that fails", function()
      store = assert(pkv.open(path, { on_event = listen }))
      events = {}
      store.x = 1
      assert(lfs.mkdir(path .. "-gone"))
      assert(os.rename(path, path .. "-gone/store"))
      for name in pairs(helper.files(path .. "-gone/store")) do os.remove(path .. "-gone/store/" .. name) end
      assert(os.remove(path .. "-gone/store"))
      local ok, message, code = pkv.snapshot(store)
      assert.is_nil(ok)
      assert.is_string(message)
      assert.equal("io", code)
      local _ = #store
      _ = store.x
      assert.equal("failed", events[1] and events[1].name)
      assert.is_string(events[1].details.message)
      assert.equal(1, store.x)
      assert.is_true(pkv.stats(store).snapshot_failures > 0)
      assert.is_string(pkv.stats(store).last_failure)
   end)

   it("that fails propagates its error, and the operation is done", function()
      local problem = {}
      local failing = false
      store = assert(pkv.open(path, { on_event = function() if failing then error(problem) end end }))
      failing = true
      store.x = 1
      local ok, message = pcall(pkv.snapshot, store)
      assert.is_false(ok)
      assert.equal(problem, message)
      assert.equal(1, pkv.stats(store).snapshots)
      store.x = 2
      assert.equal(2, store.x)
   end)

   it("that fails in open leaves nothing open", function()
      local problem = {}
      local ok, message = pcall(pkv.open, path, { on_event = function() error(problem) end })
      assert.is_false(ok)
      assert.equal(problem, message)
      assert.is_false(is_open(path))
   end)

   it("may use the store, and close it, and is not called inside itself", function()
      local depth, deepest, calls = 0, 0, 0
      store = assert(pkv.open(path, { on_event = function()
         depth, calls = depth + 1, calls + 1
         deepest = math.max(depth, deepest)
         if store and calls < 5 then
            store.seen = calls
            pkv.snapshot(store)
         elseif store then
            pkv.close(store)
         end
         depth = depth - 1
      end }))
      assert(pkv.snapshot(store))
      assert.equal(1, deepest)
      assert.equal(5, calls)
      assert.match("%(closed%)$", tostring(store))
      assert.match("closed", raised(pkv.get, store, "x"))
   end)

   it("is not needed by others that have the store open", function()
      store = assert(pkv.open(path))
      local other = assert(pkv.open(path, { on_event = listen }))
      events = {}
      assert(pkv.snapshot(store))
      local _ = other.x
      assert.equal("published", events[1].name)
      assert(pkv.close(other))
   end)
end)
