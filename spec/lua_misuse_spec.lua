--- Misuse of each function and metamethod raises, at the line that the caller is at, and says what was wrong.
local pkv = require "pkv"
local calls = require "spec.support.lua_calls"
local compat = require "spec.support.compat"
local disk = require "spec.support.disk"
local helper = require "spec.support.helper"

local path, store, closed, numbers, coded

local function open_store()
   store = assert(pkv.open(path))
   store.k = 1
end

before_each(function()
   path = disk.folder()
   open_store()
   numbers = assert(pkv.open(path .. "-numbers", { keys = "i8", values = "u16" }))
   coded = assert(pkv.open(path .. "-coded", { values = { encode = function(v) return v end, decode = print } }))
   closed = assert(pkv.open(path .. "-closed"))
   assert(pkv.close(closed))
end)
after_each(function()
   for _, open in ipairs { store, numbers, coded } do pkv.close(open) end
   disk.clean()
end)

local CLOSED = "the store is closed: PATH-closed"
local KEY = 'key must be a string (the store has keys = "string"), got '
local NUMBER_KEY = 'key must be an integer (the store has keys = "i8"), got '
local RANGE = "key 300 does not fit i8: it must be from -128 to 127"

--- What each function says of which misuse: { function of one line, text }, PATH being the store's. "NAME" is the
-- name of what is in the list.
local no_store = "bad argument #1 to 'NAME' (pkv store expected, got table)"
local nothing = "bad argument #1 to 'NAME' (pkv store expected, got no value)"
local no_path = "bad argument #1 to 'NAME' (string expected, got table)"
local empty = "bad argument #1 to 'NAME' (the path is empty)"

local misuse = {
   ["pkv.get"] = {
      { function() local _ = pkv.get({}, "k") end, no_store },
      { function() local _ = pkv.get() end, nothing },
      { function() local _ = pkv.get(closed, "k") end, CLOSED },
      { function() local _ = pkv.get(store, 1) end, KEY .. "number 1" },
      { function() local _ = pkv.get(store) end, KEY .. "nil" },
      { function() local _ = pkv.get(numbers, "k") end, NUMBER_KEY .. 'string "k"' },
      { function() local _ = pkv.get(numbers, 1.5) end, NUMBER_KEY .. "number 1.5" },
      { function() local _ = pkv.get(numbers, 300) end, RANGE },
   },
   ["pkv.set"] = {
      { function() local _ = pkv.set({}, "k", 1) end, no_store },
      { function() local _ = pkv.set(closed, "k", 1) end, CLOSED },
      { function() local _ = pkv.set(store, "k") end, "bad argument #3 to 'pkv.set' (value expected)" },
      { function() local _ = pkv.set(store, {}, 1) end, KEY .. "table" },
      { function() local _ = pkv.set(numbers, 300, 1) end, RANGE },
      { function() local _ = pkv.set(numbers, 1, "x") end,
        'value must be an integer (the store has values = "u16"), got string "x"' },
      { function() local _ = pkv.set(numbers, 1, -1) end, "value -1 does not fit u16: it must be from 0 to 65535" },
      { function() local _ = pkv.set(store, "k", print) end, "value is a function, which cannot be stored" },
      { function() local _ = pkv.set(store, "k", { a = { print } }) end,
        "value.a[1] is a function, which cannot be stored" },
      { function() local _ = pkv.set(coded, "k", true) end, "values.encode must return a string, got boolean" },
   },
   ["pkv.unset"] = {
      { function() local _ = pkv.unset({}, "k") end, no_store },
      { function() local _ = pkv.unset(closed, "k") end, CLOSED },
      { function() local _ = pkv.unset(store, 1) end, KEY .. "number 1" },
      { function() local _ = pkv.unset(numbers, 300) end, RANGE },
   },
   ["pkv.each"] = {
      { function() local _ = pkv.each({}) end, no_store },
      { function() local _ = pkv.each(closed) end, CLOSED },
      { function() for _ in pkv.each(store) do pkv.close(store) end end, "the store is closed: PATH" },
      { function() local step = pkv.each(store); pkv.close(store); step() end, "the store is closed: PATH" },
   },
   ["pkv.sync"] = {
      { function() local _ = pkv.sync({}) end, no_store }, { function() local _ = pkv.sync(closed) end, CLOSED },
   },
   ["pkv.snapshot"] = {
      { function() local _ = pkv.snapshot({}) end, no_store },
      { function() local _ = pkv.snapshot(closed) end, CLOSED },
   },
   ["pkv.stats"] = {
      { function() local _ = pkv.stats({}) end, no_store }, { function() local _ = pkv.stats(closed) end, CLOSED },
   },
   ["pkv.drain"] = {
      { function() local _ = pkv.drain({}) end, no_store }, { function() local _ = pkv.drain(closed) end, CLOSED },
   },
   ["pkv.close"] = {
      { function() local _ = pkv.close({}) end, no_store }, { function() local _ = pkv.close() end, nothing },
   },
   ["pkv.is_store"] = {
      { function() local _ = pkv.is_store() end, "bad argument #1 to 'pkv.is_store' (value expected)" },
   },
   ["pkv.open"] = {
      { function() local _ = pkv.open({}) end, no_path }, { function() local _ = pkv.open("") end, empty },
      { function() local _ = pkv.open(path, 1) end, "bad argument #2 to 'pkv.open' (table expected, got number)" },
      { function() local _ = pkv.open(path, { create = 1 }) end,
        "bad argument #2 to 'pkv.open' (option 'create' must be true or false, got number 1)" },
   },
   ["pkv.check"] = {
      { function() local _ = pkv.check({}) end, no_path }, { function() local _ = pkv.check("") end, empty },
   },
   ["pkv.repair"] = {
      { function() local _ = pkv.repair({}) end, no_path }, { function() local _ = pkv.repair("") end, empty },
      { function() local _ = pkv.repair(path, 1) end, "bad argument #2 to 'pkv.repair' (table expected, got number)" },
      { function() local _ = pkv.repair(path, { in_place = 1 }) end,
        "bad argument #2 to 'pkv.repair' (option 'in_place' must be true or false, got number 1)" },
      { function() local _ = pkv.repair(path, { inplace = true }) end,
        "bad argument #2 to 'pkv.repair' (unknown option string \"inplace\"; the options are output, in_place, " ..
        "with_backups, keys)" },
   },
   ["pkv.prune_backups"] = {
      { function() local _ = pkv.prune_backups({}, 1) end, no_path },
      { function() local _ = pkv.prune_backups("", 1) end, empty },
      { function() local _ = pkv.prune_backups(path) end,
        "bad argument #2 to 'pkv.prune_backups' (a number of snapshots from 0 on expected)" },
   },
   ["pkv.delete_failed_pending_snapshots"] = {
      { function() local _ = pkv.delete_failed_pending_snapshots({}) end, no_path },
      { function() local _ = pkv.delete_failed_pending_snapshots("") end, empty },
   },
   ["pkv.store.__index"] = {
      { function() local _ = store[1] end, KEY .. "number 1" }, { function() local _ = closed.k end, CLOSED },
      { function() local _ = numbers[300] end, RANGE },
   },
   ["pkv.store.__newindex"] = {
      { function() store[true] = 1 end, KEY .. "true" }, { function() closed.k = 1 end, CLOSED },
      { function() store[true] = nil end, KEY .. "true" }, { function() closed.k = nil end, CLOSED },
      { function() store.k = print end, "value is a function, which cannot be stored" },
      { function() store.k = { [{}] = 1 } end, "value has a key that is a table, which cannot be stored" },
      { function() numbers[300] = 1 end, RANGE },
      { function() coded.k = 1 end, "values.encode must return a string, got number" },
   },
   ["pkv.store.__len"] = { { function() local _ = #closed end, CLOSED } },
   ["pkv.store.__pairs"] = compat.pairs ~= pairs and {} or { -- where pairs does not call it
      { function() for _ in pairs(closed) do error "a step" end end, CLOSED },
      { function() for _ in pairs(store) do pkv.close(store) end end, "the store is closed: PATH" },
   },
}

if _VERSION >= "Lua 5.3" then -- there ipairs takes what it is
   table.insert(misuse["pkv.store.__index"],
                { function() for _ in ipairs(store) do error "a step" end end, KEY .. "number 1" })
end

--- Of these no use of a store is wrong.
local HARMLESS = {
   ["pkv.store.__tostring"] = true, ["pkv.store.__close"] = true, ["pkv.store.__gc"] = true,
   ["pkv.cursor.__close"] = true, ["pkv.cursor.__gc"] = true, ["pkv.findings.__gc"] = true, ["pkv.buffer.__gc"] = true,
}

local function assert_raised_there(f, text, name)
   local where = debug.getinfo(f, "S")
   local said = text:gsub("NAME", name or ""):gsub("PATH", (path:gsub("%%", "%%%%")))
   assert.equal(("%s:%d: %s"):format(where.short_src, where.linedefined, said), helper.raised(f))
end

describe("misuse of", function()
   for name, list in pairs(misuse) do
      it(name .. " raises at the caller's line", function()
         for _, case in ipairs(list) do
            assert_raised_there(case[1], case[2], name)
            if tostring(store):find "closed" then open_store() end
         end
      end)
   end

   it("all that the module has is here", function()
      local known = {}
      for name in pairs(calls.exported()) do
         if not HARMLESS[name] then known[name] = true end
      end
      for name in pairs(misuse) do
         assert.is_true(known[name])
         known[name] = nil
      end
      assert.is_nil(next(known))
   end)

   it("resty.persistent_kv raises at the caller's line", function()
      local phase, kept = "init", _G.ngx
      local loaded = package.loaded["resty.persistent_kv"]
      _G.ngx = { get_phase = function() return phase end, worker = { id = function() return 1 end } }
      package.loaded["resty.persistent_kv"] = nil
      local done, problem = pcall(function()
         local new = require("resty.persistent_kv").new
         assert_raised_there(function() local _ = new(path) end, "call new in init_worker_by_lua: what nginx opens " ..
                             "in init_by_lua, before it forks, no worker can use")
         phase = "init_worker"
         assert_raised_there(function() local _ = new(path, { retry = -1 }) end,
                             "option 'retry' must be a number from 0 on")
      end)
      _G.ngx, package.loaded["resty.persistent_kv"] = kept, loaded
      assert.is_true(done, problem)
   end)

   it("the metamethods as functions raises at the caller's line", function()
      for name in pairs(calls.exported()) do
         local event = name:match "^pkv%.store%.(__%l+)$"
         if event and event ~= "__gc" then
            local method = calls.find(name)
            assert_raised_there(function() local _ = method({}, "k", 1) end, no_store, event)
         end
      end
   end)
end)
