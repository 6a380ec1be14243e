--- What the Lua module says of misuse, and of values that it cannot give: the whole text, in every Lua. What else it
-- says is in the specs of what it is about; message_spec demands that nothing is missing.
local pkv = require "pkv"
local set_typed = require "pkv_internals.lua".set_typed
local compat = require "spec.support.compat"
local disk = require "spec.support.disk"
local helper = require "spec.support.helper"

local raised = helper.raised

local path
before_each(function() path = disk.folder() end)
after_each(disk.clean)

--- Without the line, where there is one.
local function problem(f, ...) return (raised(f, ...):gsub("^[^:(]*:%d+: ", "")) end

local INTEGERS = '"string", "i64", "u64", "i32", "u32", "i16", "u16", "i8", "u8" or "integer"'

describe("an option of pkv.open", function()
   local function refused(name, value, allowed, got)
      assert.equal(("bad argument #2 to 'pkv.open' (option '%s' must be %s, got %s)"):format(name, allowed, got),
                   problem(pkv.open, path, { [name] = value }))
   end

   it("of a wrong value is an error that says what is possible, and what was given", function()
      refused("keys", "i128", INTEGERS, 'string "i128"')
      refused("values", 7, '"any", "string", an integer type such as "i64", or a table of two functions, encode and ' ..
              'decode', "number 7")
      refused("sync", true, '"os", "always", "buffered" or a number of seconds above 0', "true")
      refused("snapshot_interval", 0, "a whole number of writes from 1 on, or false for never", "number 0")
      for _, name in ipairs { "memory_shards", "wal_shards", "snapshot_threads", "snapshot_shard_bytes" } do
         refused(name, -1, "a whole number from 1 on", "number -1")
      end
      refused("keep_backups", "many", "a whole number from 0 on", 'string "many"')
      refused("wal_io", "posix", '"mmap" or "pwrite"', 'string "posix"')
      refused("create", "no", "true or false", 'string "no"')
      refused("on_event", "print", "a function", 'string "print"')
   end)

   it("that is unknown is an error that names them all", function()
      assert.equal("bad argument #2 to 'pkv.open' (unknown option string \"kyes\"; the options are keys, values, " ..
                   "sync, snapshot_interval, memory_shards, wal_shards, snapshot_threads, snapshot_shard_bytes, " ..
                   "keep_backups, wal_io, create, on_event)", problem(pkv.open, path, { kyes = "i8" }))
   end)

   it("that contradicts how the store is open names it, and the store", function()
      local store = assert(pkv.open(path, { keys = "i8", values = "string" }))
      local function refusal(options)
         local other, message = pkv.open(path, options)
         assert.is_nil(other)
         return message
      end
      local head = ("cannot open store %s: this process has the store open already, with "):format(path)
      assert.equal(head .. "i8 keys", refusal {})
      assert.equal(head .. 'values of type "string", not "any"', refusal { keys = "i8" })
      assert.equal(head .. "another value of option wal_shards: leave the option out, or close the store first",
                   refusal { keys = "i8", values = "string", wal_shards = 7 })
      assert(pkv.close(store))
   end)
end)

describe("an argument of", function()
   it("pkv.open that is no path is an error", function()
      assert.equal("bad argument #1 to 'pkv.open' (the path is empty)", problem(pkv.open, ""))
      assert.equal("bad argument #1 to 'pkv.open' (the path contains a zero byte)", problem(pkv.open, "a\0b"))
      assert.equal("bad argument #1 to 'pkv.open' (string expected, got table)", problem(pkv.open, {}))
   end)

   it("pkv.repair that is no option is an error that says what is possible", function()
      local function refused(name, value, allowed, got)
         assert.equal(("bad argument #2 to 'pkv.repair' (option '%s' must be %s, got %s)"):format(name, allowed, got),
                      problem(pkv.repair, path, { [name] = value }))
      end
      refused("output", 7, "the path of a folder that is not there yet", "number 7")
      refused("in_place", 1, "true or false", "number 1")
      refused("with_backups", "yes", "true or false", 'string "yes"')
      refused("keys", "i128", INTEGERS, 'string "i128"')
      assert.equal("bad argument #2 to 'pkv.repair' (unknown option string \"ouput\"; the options are output, " ..
                   "in_place, with_backups, keys)", problem(pkv.repair, path, { ouput = "x" }))
      assert.equal("bad argument #2 to 'pkv.repair' (table expected, got number)", problem(pkv.repair, path, 1))
   end)

   it("pkv.prune_backups that is no number of them is an error", function()
      assert.equal("bad argument #2 to 'pkv.prune_backups' (a number of snapshots from 0 on expected)",
                   problem(pkv.prune_backups, path, -1))
   end)
end)

describe("a value that another program wrote", function()
   local INTEGER, FLOAT, BOOLEAN, TABLE = 1, 2, 3, 4

   --- That is the text, of the value at key "k".
   local function says(text, bytes, kind, options)
      assert(pkv.close(assert(pkv.open(path, options))))
      set_typed(path, { { "k", bytes, kind } })
      local store = assert(pkv.open(path, options))
      local value, message = pkv.get(store, "k")
      assert.is_nil(value)
      assert.equal(text, message)
      assert.equal(message, problem(function() return store.k end))
      assert.equal(message, problem(function() for _ in compat.pairs(store) do error "a step" end end))
      assert(pkv.close(store))
   end

   local damaged = 'the value of key string "k" is damaged: '

   it("and that is damaged says what is wrong", function()
      says(damaged .. "an integer that is not 8 bytes long", "1234567", INTEGER)
      says(damaged .. "a float that is not 8 bytes long", "1234567", FLOAT)
      says(damaged .. "a boolean that is not 0 or 1", "\2", BOOLEAN)
      for bytes, what in pairs {
         ["\145\204"] = "no valid MessagePack at byte 2: it ends too early",
         ["\145\163a"] = "no valid MessagePack at byte 2: a string is longer than what is left",
         ["\221\1\0\0\0"] = "no valid MessagePack at byte 5: a table has more entries than what is left can hold",
         ["\145\193"] = "no valid MessagePack at byte 2: a byte that MessagePack does not use",
         ["\145\212\1\1"] = "no valid MessagePack at byte 2: a MessagePack extension type",
         ["\129\144\1"] = "no valid MessagePack at byte 2: a key of a table is neither string, number nor boolean",
         ["\1"] = "no valid MessagePack at byte 1: it is not a table",
         ["\144\144"] = "no valid MessagePack at byte 1: bytes follow its end",
      } do
         says(damaged .. what, bytes, TABLE)
      end
      says(damaged .. "no valid MessagePack at byte 129: it is nested too deep", ("\145"):rep(300) .. "\144", TABLE)
   end)

   it("and that is of another type says which types there are", function()
      for kind, name in ipairs { "an integer", "a float", "a boolean", "a table" } do
         says(('the value of key string "k" is %s (the store was opened with values = "string")'):format(name),
              "12345678", kind, { values = "string" })
      end
   end)

   it("and that has not the width of the store's integers says so", function()
      says(damaged .. "3 bytes where u16 was expected", "123", 0, { values = "u16" })
   end)
end)

describe("resty.persistent_kv", function()
   it("says that nginx has no timer", function()
      local loaded = package.loaded.pkv
      _G.ngx = {
         get_phase = function() return "init_worker" end,
         worker = { id = function() return 0 end },
         timer = { at = function() return nil, "too many pending timers" end },
      }
      package.loaded.pkv = setmetatable({ open = function() return nil, "the store is locked", "locked" end },
                                        { __index = loaded })
      package.loaded["resty.persistent_kv"] = nil
      local done, problem_of = pcall(function()
         local handle = require("resty.persistent_kv").new("data")
         assert.equal("the store is locked; but nginx has no timer to try again: too many pending timers",
                      handle.message)
      end)
      _G.ngx, package.loaded.pkv, package.loaded["resty.persistent_kv"] = nil, loaded, nil
      assert(done, problem_of)
   end)
end)
