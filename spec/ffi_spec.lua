--- Stores as LuaJIT's compiler knows them, and what becomes of them where it is not at hand.
local pkv = require "pkv"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"

local raised = helper.raised
local path

before_each(function() path = helper.folder() end)
after_each(helper.clean)

describe("a store", function()
   it("is a cdata where there is the FFI library, else a userdata", function()
      local store = assert(pkv.open(path))
      assert.equal(compat.has_ffi and "cdata" or "userdata", type(store))
      assert(pkv.close(store))
   end)
end)

if not compat.is_luajit then return end

describe("without the FFI library", function()
   local code = [[
      local store = assert(require "pkv".open(arg[1]))
      store.x = { 1, 2 ^ 53 }
      print(type(store), store.x[2], #store)]]

   it("a store is a userdata", function()
      local output = helper.run_well("package.preload.ffi, package.loaded.ffi = nil " .. code, path)
      assert.equal("userdata\t9.007199254741e+15\t1\n", output)
   end)

   it("or without the file pkv/ffi.lua, a store is a userdata", function()
      local output = helper.run_well("package.path = '' " .. code, path)
      assert.equal("userdata\t9.007199254741e+15\t1\n", output)
   end)

   it("an error in that file is one, and not a reason to do without it", function()
      local output, exit_code = helper.run("package.preload['pkv.ffi'] = function() error 'broken' end " .. code, path)
      assert.match("broken", output)
      assert.equal(1, exit_code)
   end)
end)

if not compat.has_ffi then return end
local ffi = require "ffi"

--- An integer of 64 bits: its literals are no Lua elsewhere.
local function L(text) return loadstring("return " .. text)() end

describe("the compiler", function()
   --- The number of traces and the reasons of aborts while a loop runs, in a process of its own.
   local function traced(loop)
      return helper.run_well(([[
         local pkv = require "pkv"
         local store = assert(pkv.open(arg[1]))
         local numbers = assert(pkv.open(arg[1] .. "-numbers", { keys = "i64", values = "string" }))
         local keys, strings = {}, {}
         for i = 1, 100 do
            keys[i], strings[i] = "key " .. i, ("v"):rep(i)
            numbers[i] = strings[i]
         end
         local function check(truth) if not truth then error "not what was stored" end end
         local function loop() %s end
         local traces, aborts = 0, {}
         jit.attach(function(what, _, func, pc, reason)
            if what == "stop" then traces = traces + 1 end
            if what ~= "abort" then return end
            local where = require "jit.util".funcinfo(func, pc).loc
            if type(reason) == "number" then reason = require "jit.vmdef".traceerr[reason] end
            aborts[#aborts + 1] = tostring(where) .. ": " .. tostring(reason)
         end, "trace")
         jit.on()
         jit.flush()
         loop()
         jit.attach(function() end)
         print(traces > 0, table.concat(aborts, "; "))]]):format(loop), path)
   end

   local loops = {
      ["strings"] = "for i = 1, 20000 do local k = keys[i % 100 + 1] store[k] = strings[i % 100 + 1] " ..
                    "check(store[k] == strings[i % 100 + 1]) end",
      ["numbers"] = "for i = 1, 20000 do local k = keys[i % 100 + 1] store[k] = i + 0.5 check(store[k] == i + 0.5) end",
      ["integers"] = "for i = 1, 20000 do local k = keys[i % 100 + 1] store[k] = i check(store[k] == i) end",
      ["booleans"] = "for i = 1, 20000 do local k = keys[i % 100 + 1] store[k] = i % 2 == 0 " ..
                     "check(store[k] == (i % 2 == 0)) end",
      ["64-bit integers"] = "for i = 1, 20000 do local k = keys[i % 100 + 1] store[k] = 2LL ^ 62 + i " ..
                            "check(store[k] == 2LL ^ 62 + i) end",
      ["keys that are absent, and nil"] = "for i = 1, 20000 do local k = keys[i % 100 + 1] store[k] = 1 " ..
                                          "store[k] = nil check(store[k] == nil) end",
      ["keys that are numbers"] = "for i = 1, 20000 do numbers[i % 1000] = strings[i % 100 + 1] " ..
                                  "check(#numbers[i % 1000] == i % 100 + 1) end",
      ["keys of 64 bits"] = "for i = 1, 20000 do local k = 2LL ^ 62 + i % 100 numbers[k] = 'x' " ..
                            "check(numbers[k] == 'x') end",
      ["several in a round"] = "for i = 1, 20000 do local k = keys[i % 100 + 1] for j = 1, 5 do store[k] = j " ..
                               "check(store[k] == j and store[k] and store[k]) end end",
      ["the functions"] = "for i = 1, 20000 do local k = keys[i % 100 + 1] pkv.set(store, k, i) " ..
                          "check(pkv.get(store, k, 0) == i and pkv.unset(store, k)) end",
      ["the length"] = "local sum = 0 for i = 1, 20000 do sum = sum + #numbers end check(sum == 2000000)",
      ["pairs"] = "local n = 0 for i = 1, 500 do for k, v in pairs(numbers) do n = n + k + #v end end",
      ["tables"] = "for i = 1, 5000 do local k = keys[i % 100 + 1] store[k] = { i } check(store[k][1] == i) end",
      ["large strings"] = "local v = ('v'):rep(40000) for i = 1, 1000 do store.k = v check(store.k == v) end",
   }
   for name, loop in pairs(loops) do
      it("makes traces of loops over " .. name .. ", and gives none up", function()
         assert.equal("true\t\n", traced(loop))
      end)
   end
end)

describe("integers of 64 bits", function()
   local int64, uint64, complex = ffi.typeof "int64_t", ffi.typeof "uint64_t", ffi.new("complex", 1, 2)
   local store
   local function open(options) store = assert(pkv.open(path, options)) end
   local function reopen(options)
      assert(pkv.close(store))
      open(options)
   end
   after_each(function() pkv.close(store) end)

   it("as values are numbers where these are exact, else int64_t", function()
      open()
      for _, given in ipairs { L"2LL ^ 53", L"-2LL ^ 53", L"2LL ^ 62", L"-2LL ^ 63", L"0LL", L"5ULL", L"2ULL ^ 62" } do
         store.x = given
         assert.equal("number", type(store.x))
         assert.equal(tonumber(given), store.x)
      end
      for _, given in ipairs { L"2LL ^ 53 + 1", L"-2LL ^ 53 - 1", L"0x7fffffffffffffffLL", L"-0x7fffffffffffffffLL",
                               L"2ULL ^ 62 + 1" } do
         store.x = given
         reopen()
         for _, found in ipairs { store.x, (pkv.get(store, "x")), select(2, pkv.each(store)()) } do
            assert.is_true(ffi.istype(int64, found))
            assert.is_true(found == given)
         end
      end
   end)

   it("that are unsigned, from 2^63 on, are refused but in values = \"u64\"", function()
      open()
      local said = 'value is a uint64_t from 2^63 on, which takes values = "u64"'
      assert.equal(said, raised(pkv.set, store, "x", L"2ULL ^ 63"))
      assert.match(said, raised(function() store.x = L"0xffffffffffffffffULL" end), 1, true)
      assert.equal(0, #store)
      path = helper.folder()
      assert(pkv.close(store))
      open { values = "u64" }
      store.all, store.top, store.small, store.negative = L"0xffffffffffffffffULL", L"2ULL ^ 63", L"7ULL", L"-1LL"
      reopen { values = "u64" }
      assert.is_true(ffi.istype(uint64, store.all))
      assert.is_true(store.all == L"0xffffffffffffffffULL" and store.negative == store.all)
      assert.equal(2 ^ 63, store.top)
      assert.equal(7, store.small)
   end)

   it("are checked against the range of values and keys", function()
      open { values = "u8", keys = "i16" }
      store[L"-5LL"] = L"200ULL"
      assert.equal(200, store[-5])
      for _, wrong in ipairs { L"256LL", L"-1LL", L"2LL ^ 62" } do
         assert.match("u8", raised(pkv.set, store, 1, wrong))
         assert.match("i16", raised(pkv.set, store, L"100000LL", 1))
      end
      assert.match("value must be an integer", raised(pkv.set, store, 1, L"0xffffffffffffffffULL"))
      assert.match("key must be an integer", raised(pkv.get, store, L"0xffffffffffffffffULL"))
      assert.match('key must be an integer %(the store has keys = "i16"%), got cdata', raised(pkv.get, store, complex))
      assert.equal(1, #store)
   end)

   it("are keys, and come back as keys", function()
      for _, mode in ipairs { "i64", "u64" } do
         local options = { keys = mode }
         path = helper.folder()
         open(options)
         local large = mode == "i64" and L"-0x7fffffffffffffffLL" or L"0xffffffffffffffffULL"
         store[large], store[L"7ULL"], store[8] = "large", "seven", "eight"
         reopen(options)
         assert.equal("large", store[large])
         assert.equal("seven", store[7])
         assert.equal("eight", store[L"8LL"])
         local seen = 0
         for key, value in pairs(store) do
            seen = seen + 1
            if value == "large" then
               assert.is_true(ffi.istype(mode == "i64" and int64 or uint64, key))
               assert.is_true(key == large)
            else
               assert.equal("number", type(key))
            end
         end
         assert.equal(3, seen)
         assert.is_true(pkv.unset(store, large))
         assert.is_nil(store[large])
         assert(pkv.close(store))
      end
   end)

   it("stay what they are in tables", function()
      open()
      store.x = { L"2LL ^ 53 + 1", { n = L"0x7fffffffffffffffLL", u = L"0xffffffffffffffffULL", five = L"5ULL" } }
      reopen()
      local x = store.x
      assert.is_true(ffi.istype(int64, x[1]) and x[1] == L"2LL ^ 53 + 1")
      assert.is_true(ffi.istype(int64, x[2].n) and x[2].n == L"0x7fffffffffffffffLL")
      assert.is_true(ffi.istype(uint64, x[2].u) and x[2].u == L"0xffffffffffffffffULL")
      assert.equal(5, x[2].five)
      local key = L"2LL ^ 53 + 3"
      store.y = { [key] = "a", [L"9LL"] = "nine" }
      local y = store.y
      assert.equal("nine", y[9])
      for k, v in pairs(y) do assert.is_true(v == "nine" or k == key) end
   end)

   it("are the only cdata that can be stored", function()
      open()
      for _, wrong in ipairs { ffi.new "int[3]", ffi.new "void *", complex, ffi.new("int", 5), store } do
         assert.equal("value is a cdata, which cannot be stored", raised(pkv.set, store, "x", wrong))
         assert.match("value.a is a cdata, which cannot be stored", raised(function() store.x = { a = wrong } end))
      end
      assert.match("got cdata$", raised(pkv.get, store, L"5LL"))
      assert.equal(0, #store)
   end)

   it("in a table that a finalizer changes meanwhile make no damaged value", function()
      open()
      local victim, done, failures = {}, false, 0
      for i = 1, 100 do victim["k" .. i] = L"2LL ^ 60" + i end
      compat.set_pause(50)
      for round = 1, 500 do
         compat.finalizer(function() if not done then victim["new" .. round % 50] = round % 3 > 0 or nil end end)
         local ok, message = pcall(pkv.set, store, "x", victim)
         if not ok then
            failures = failures + 1
            local said = message:find "value was changed while it was stored" or message:find "'next'"
            assert.is_true(said ~= nil, message)
         end
         assert.is_true(type(store.x) == "table" or failures == round)
      end
      compat.set_pause(200)
      done = true
   end)
end)

describe("a cdata store", function()
   local store
   before_each(function() store = assert(pkv.open(path)) end)
   after_each(function() pkv.close(store) end)

   it("has data only, whatever its cdata is made of", function()
      for _, name in ipairs { "address", "store", "cursor", "", "1", "__gc" } do
         assert.is_nil(store[name])
         store[name] = name
         assert.equal(name, store[name])
      end
   end)

   it("is no other cdata", function()
      for _, other in ipairs { ffi.new "int[3]", L"5LL", (pkv.each(store)) } do
         assert.is_false(pkv.is_store(other))
         assert.equal("bad argument #1 to 'pkv.get' (pkv store expected, got cdata)", raised(pkv.get, other, "x"))
         assert.equal("bad argument #1 to 'pkv.stats' (pkv store expected, got cdata)", raised(pkv.stats, other))
      end
   end)

   it("works with the functions of a module that was loaded anew", function()
      local loaded = package.loaded.pkv
      package.loaded.pkv = nil
      local anew = require "pkv"
      package.loaded.pkv = loaded
      store.x = 1
      assert.equal(1, anew.get(store, "x"))
      assert.equal(1, anew.stats(store).entries)
      local other = assert(anew.open(path))
      assert.equal(1, other.x)
      assert.is_true(pkv.is_store(other))
      assert.is_true(pkv.close(other))
   end)

   it("tells of a failure to write as any other does", function()
      local code = [[
         local pkv = require "pkv"
         local store = assert(pkv.open(arg[1], { wal_io = "pwrite" }))
         store.x = 1
         local value = ("x"):rep(30000)
         local done, message, code
         repeat done, message, code = pkv.set(store, "y" .. #store, value) until not done
         print(code, (message:match "File too large"))
         print(pcall(function() store.z = value end))
         print(store.x, pkv.unset(store, "x"), store.x)]]
      local output = helper.run(([[
         local code = %q
         local script = os.tmpname()
         local file = io.open(script, "w")
         file:write(code)
         file:close()
         os.execute("trap '' XFSZ; ulimit -f 1000; %s " .. script .. " " .. arg[1])
         os.remove(script)]]):format(code, os.getenv "LUA" or "luajit"), path .. "-limited")
      assert.match("^io\tFile too large\nfalse\t[^\n]*File too large[^\n]*\n1\ttrue\tnil\n", output)
   end)
end)

describe("the module's shared object", function()
   it("has the C library in it, for the FFI library and others", function()
      local file = assert(package.searchpath("pkv", package.cpath))
      ffi.cdef "const char *pkv_status_text(int status); int pkv_close(void *store);"
      local library = ffi.load(file)
      assert.is_string(ffi.string(library.pkv_status_text(0)))
      assert.equal("the store is closed", ffi.string(library.pkv_status_text(library.pkv_close(nil))))
   end)
end)
