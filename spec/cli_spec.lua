-- The pkv command: what it prints, what it exits with, and that it never loses or mangles a byte.
local helper = require "spec.support.helper"
local pkv_module = require "pkv"
local read, write = helper.read, helper.write

local build = os.getenv "PKV_BUILD" or "build"
local command = build .. "/pkv"

local DONE, NOT_FOUND, WRONG_USE, FAILED, LOCKED, CORRUPT = 0, 1, 2, 3, 4, 5

-- Every byte there is, in an order that no text mode survives.
local ALL_BYTES = {}
for byte = 0, 255 do
   ALL_BYTES[byte + 1] = string.char(byte)
end
ALL_BYTES = table.concat(ALL_BYTES) .. "\r\n\0\n"

local folder, store

local function quote(text)
   return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Runs the command with these words, stdin from a file; exit code, stdout, stderr.
local function pkv_with(input, ...)
   local words = {}
   for i, word in ipairs { ... } do
      words[i] = quote(word)
   end
   local out, err = folder .. "/out", folder .. "/err"
   local _, _, code = os.execute(("%s %s < %s > %s 2> %s"):format(command, table.concat(words, " "), input, out, err))
   return code, read(out), read(err)
end

local function pkv(...)
   return pkv_with("/dev/null", ...)
end

-- For what must succeed: stdout.
local function ok(...)
   local code, out, err = pkv(...)
   assert.are.equal("", err)
   assert.are.equal(DONE, code)
   return out
end

local function exists(path)
   return os.execute(("test -e %s"):format(quote(path))) == true
end

local function lines_of(text)
   local lines = {}
   for line in text:gmatch "([^\n]*)\n" do
      lines[#lines + 1] = line
   end
   table.sort(lines)
   return lines
end

local function hex(bytes)
   return (bytes:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

describe("the pkv command", function()
   before_each(function()
      store = helper.folder()
      folder = store:match "^(.*)/"
   end)

   after_each(helper.clean)

   describe("set, get, unset", function()
      it("keeps a value between runs", function()
         ok("set", store, "alice", "level 3")
         assert.are.equal("level 3", ok("get", store, "alice"))
         ok("set", store, "alice", "level 4")
         assert.are.equal("level 4", ok("get", store, "alice"))
         ok("unset", store, "alice")
         assert.are.equal(NOT_FOUND, (pkv("get", store, "alice")))
      end)

      it("takes a value of any bytes from stdin and gives it back byte for byte", function()
         local value = ALL_BYTES:rep(2000)
         write(folder .. "/value", value)
         assert.are.equal(DONE, (pkv_with(folder .. "/value", "set", store, "all", "-")))
         local out = ok("get", store, "all")
         assert.is_true(out == value)
      end)

      it("keeps empty keys and empty values", function()
         ok("set", store, "", "of the empty key")
         ok("set", store, "empty", "")
         assert.are.equal("of the empty key", ok("get", store, ""))
         assert.are.equal("", ok("get", store, "empty"))
         assert.are.same({ "\tof the empty key", "empty\t" }, lines_of(ok("list", store)))
      end)

      it("takes everything after the folder as data, whatever it looks like", function()
         ok("set", store, "--help", "--version")
         ok("set", store, "-k", "-1")
         assert.are.equal("--version", ok("get", store, "--help"))
         assert.are.equal("-1", ok("get", store, "-k"))
      end)

      it("reads escaped keys and values as list writes them", function()
         ok("set", "--escaped", store, "a\\x00\\x5cb", "\\x09\\xFF")
         assert.are.equal("\t\xff", ok("get", "-e", store, "a\\x00\\x5cb"))
         assert.are.equal("a\\x00\\x5cb\t\\x09\\xff\n", ok("list", store))
         ok("unset", "--escaped", store, "a\\x00\\x5cb")
         assert.are.equal("", ok("list", store))
         for _, wrong in ipairs { "\\", "\\x", "\\x1", "\\n", "\\xg0" } do
            assert.are.equal(WRONG_USE, (pkv("set", "--escaped", store, wrong, "v")))
            assert.are.equal(WRONG_USE, (pkv("set", "--escaped", store, "k", wrong)))
         end
      end)
   end)

   describe("typed values", function()
      it("are printed as text, and as stored with --raw", function()
         ok("set", "--type", "integer", store, "integer", "-42")
         ok("set", "--type", "float", store, "float", "0.1")
         ok("set", "--type", "float", store, "whole", "3")
         ok("set", "--type", "boolean", store, "boolean", "true")
         assert.are.equal("-42\n", ok("get", store, "integer"))
         assert.are.equal("0.1\n", ok("get", store, "float"))
         assert.are.equal("3.0\n", ok("get", store, "whole"))
         assert.are.equal("true\n", ok("get", store, "boolean"))
         assert.are.equal(string.pack("<i8", -42), ok("get", "--raw", store, "integer"))
         assert.are.equal(string.pack("<d", 0.1), ok("get", "--raw", store, "float"))
         assert.are.equal("\1", ok("get", "--raw", store, "boolean"))
      end)

      it("are told from strings that look like them by list --types", function()
         ok("set", "--type", "integer", store, "a", "1")
         ok("set", store, "b", "1")
         assert.are.same({ "a\tinteger\t1", "b\tstring\t1" }, lines_of(ok("list", "--types", store)))
      end)

      it("reach the far ends of their range, and not beyond", function()
         for _, number in ipairs { "9223372036854775807", "-9223372036854775808" } do
            ok("set", "--type", "integer", store, "n", number)
            assert.are.equal(number .. "\n", ok("get", store, "n"))
         end
         for _, wrong in ipairs { "9223372036854775808", "", "1x", "1.5", "0x10" } do
            assert.are.equal(WRONG_USE, (pkv("set", "--type", "integer", store, "n", wrong)))
         end
         assert.are.equal(WRONG_USE, (pkv("set", "--type", "boolean", store, "n", "yes")))
         assert.are.equal(WRONG_USE, (pkv("set", "--type", "table", store, "n", "{}")))
         assert.are.equal("-9223372036854775808\n", ok("get", store, "n"))
      end)

      it("may come as a line from stdin", function()
         write(folder .. "/value", "17\n")
         assert.are.equal(DONE, (pkv_with(folder .. "/value", "set", "--type", "integer", store, "n", "-")))
         assert.are.equal("17\n", ok("get", store, "n"))
         write(folder .. "/value", "17\0\n")
         assert.are.equal(WRONG_USE, (pkv_with(folder .. "/value", "set", "--type", "integer", store, "n", "-")))
      end)
   end)

   describe("a store written from Lua", function()
      local module = require "pkv"

      it("shows tables as JSON-like text", function()
         local s = assert(module.open(store))
         s.list = { 1, -200, 70000, 2.5, true, "a\"b\\\n\0\xff" }
         s.map = { name = { [7] = {} } }
         assert(module.close(s))
         assert.are.equal([=[[1, -200, 70000, 2.5, true, "a\"b\\\n\x00\xff"]]=] .. "\n", ok("get", store, "list"))
         local map = ok("get", store, "map")
         assert.is_truthy(map == '{"name": {7: []}}\n' or map == '{"name": {7: {}}}\n', map)
      end)

      it("of integer values shows and takes integers of their width", function()
         local s = assert(module.open(store, { values = "u16" }))
         s.a = 65535
         assert(module.close(s))
         assert.are.equal("65535\n", ok("get", store, "a"))
         assert.are.equal("\xff\xff", ok("get", "--raw", store, "a"))
         ok("set", store, "b", "258")
         assert.are.equal("\2\1", ok("get", "--raw", store, "b"))
         local code, _, err = pkv("set", store, "c", "65536")
         assert.are.equal(WRONG_USE, code)
         assert.is_truthy(err:find("u16", 1, true), err)
      end)

      it("is locked while the other process has it open", function()
         local s = assert(module.open(store))
         local code, out, err = pkv("list", store)
         assert(module.close(s))
         assert.are.equal(LOCKED, code)
         assert.are.equal("", out)
         assert.is_truthy(err:find(store, 1, true), err)
      end)
   end)

   describe("keys", function()
      it("are integers of the type that --keys says, and of no other", function()
         ok("set", "--keys", "i8", store, "-128", "low")
         ok("set", store, "127", "high") -- the store knows its mode
         assert.are.same({ "-128\tlow", "127\thigh" }, lines_of(ok("list", store)))
         local code, _, err = pkv("set", store, "300", "x")
         assert.are.equal(WRONG_USE, code)
         assert.is_truthy(err:find "127", err)
         assert.are.equal(WRONG_USE, (pkv("get", store, "alice")))
         for _, mode in ipairs { "string", "u64", "i16" } do
            assert.are.equal(WRONG_USE, (pkv("list", "--keys", mode, store)))
         end
         assert.are.same({ "-128\tlow", "127\thigh" }, lines_of(ok("list", store)))
      end)

      it("of u64 reach 2^64 - 1", function()
         ok("set", "--keys", "u64", store, "18446744073709551615", "v")
         assert.are.equal("18446744073709551615\tv\n", ok("list", store))
         assert.are.equal("ffffffffffffffff 76\n", ok("list", "--hex", store))
         assert.are.equal(WRONG_USE, (pkv("set", store, "18446744073709551616", "v")))
         assert.are.equal(WRONG_USE, (pkv("set", store, "-1", "v")))
      end)
   end)

   describe("list", function()
      it("prints no two stores alike, whatever bytes they hold", function()
         ok("set", store, "a\tb", "c\nd")
         ok("set", store, "a", "b\tc\\nd")
         assert.are.same({ "a\tb\\x09c\\x5cnd", "a\\x09b\tc\\x0ad" }, lines_of(ok("list", store)))
         assert.are.same({ "a", "a\\x09b" }, lines_of(ok("list", "--names", store)))
      end)

      it("prints the stored bytes in hexadecimal with --hex", function()
         write(folder .. "/value", ALL_BYTES)
         pkv_with(folder .. "/value", "set", store, "key", "-")
         assert.are.equal("6b6579 " .. hex(ALL_BYTES) .. "\n", ok("list", "--hex", store))
      end)

      it("says so when the output cannot be written", function()
         ok("set", store, "a", "b")
         local _, _, code = os.execute(("%s list %s > /dev/full 2> %s/err"):format(command, store, folder))
         assert.are.equal(FAILED, code)
         assert.is_truthy(read(folder .. "/err"):find "output")
      end)
   end)

   describe("stat and snapshot", function()
      it("show what the store holds", function()
         ok("set", "--keys", "i32", store, "7", "four")
         ok("snapshot", store)
         local stat = ok("stat", store)
         assert.is_truthy(stat:find("keys i32\n", 1, true), stat)
         assert.is_truthy(stat:find("\nentries 1\n", 1, true), stat)
         assert.is_truthy(stat:find("\nvalue_bytes 4\n", 1, true), stat)
         assert.is_truthy(stat:find "\nsnapshot_ordinal [1-9]", stat)
         assert.are.equal("four", ok("get", store, "7"))
      end)
   end)

   describe("prune-backups and delete-failed-pending-snapshots", function()
      local function files(pattern)
         return select(2, io.popen("ls " .. quote(store)):read "a":gsub(pattern, ""))
      end

      it("remove old snapshots but never the newest, and print how many files", function()
         for value = 1, 3 do
            ok("set", store, "key", tostring(value))
            ok("snapshot", store)
         end
         local before = files "_full%.bin"
         assert.is_true(before >= 2)
         assert.are.equal(WRONG_USE, (pkv("prune-backups", store, "-1")))
         assert.are.equal(WRONG_USE, (pkv("prune-backups", store, "all")))
         assert.are.equal(("%d\n"):format(before - 1), ok("prune-backups", store, "0"))
         assert.are.equal(1, files "_full%.bin")
         assert.are.equal("0\n", ok("prune-backups", store, "0"))
         assert.are.equal("3", ok("get", store, "key"))
      end)

      it("remove what a failed snapshot left", function()
         ok("set", store, "key", "value")
         write(store .. "/snapshot_900_0-of-2_pending.bin", "half a snapshot")
         assert.are.equal("1\n", ok("delete-failed-pending-snapshots", store))
         assert.are.equal(0, files "_pending%.bin")
         assert.are.equal("value", ok("get", store, "key"))
      end)
   end)

   describe("errors", function()
      it("never create a store for reading", function()
         for _, words in ipairs {
            { "get", store, "k" }, { "unset", store, "k" }, { "list", store }, { "stat", store }, { "snapshot", store },
         } do
            local code, out, err = pkv(table.unpack(words))
            assert.are.equal(NOT_FOUND, code)
            assert.are.equal("", out)
            assert.is_truthy(err:find(store, 1, true), err)
            assert.is_false(exists(store), words[1])
         end
      end)

      it("of a missing key name the key and the store", function()
         ok("set", store, "a", "b")
         local code, _, err = pkv("get", store, "nobody")
         assert.are.equal(NOT_FOUND, code)
         assert.is_truthy(err:find("nobody", 1, true) and err:find(store, 1, true), err)
         assert.are.equal(NOT_FOUND, (pkv("unset", store, "nobody")))
      end)

      it("of a damaged file name the file, and print no data", function()
         ok("set", store, "key", ("value "):rep(100))
         ok("snapshot", store)
         local path = io.popen(("ls %s/*_full.bin"):format(store)):read "l"
         local text = read(path)
         write(path, text:sub(1, 20) .. "X" .. text:sub(22))
         local code, out, err = pkv("list", store)
         assert.are.equal(CORRUPT, code)
         assert.are.equal("", out)
         assert.is_truthy(err:find(path:match "[^/]+$", 1, true), err)
      end)

      it("of a folder that cannot be made say why", function()
         write(folder .. "/file", "")
         local code, _, err = pkv("set", folder .. "/file/store", "k", "v")
         assert.are.equal(FAILED, code)
         assert.is_truthy(err:find(folder .. "/file", 1, true), err)
      end)

      it("of usage are exit code 2 and point to the help", function()
         for _, words in ipairs {
            {}, { "frobnicate" }, { "get" }, { "get", store }, { "get", store, "a", "b" }, { "set", store, "a" },
            { "list", "--frobnicate", store }, { "list", "--keys", "i128", store }, { "list", "--keys" },
            { "get", "--type", "integer", store, "a" }, { "set", "--type", "number", store, "a", "1" },
         } do
            local code, out, err = pkv(table.unpack(words))
            assert.are.equal(WRONG_USE, code, table.concat(words, " "))
            assert.are.equal("", out)
            assert.are_not.equal("", err)
         end
         assert.is_false(exists(store))
      end)
   end)

   describe("help", function()
      it("lists every command and exit code, and the version is the library's", function()
         local help = ok "--help"
         for _, word in ipairs {
            "get", "set", "unset", "list", "stat", "snapshot", "prune-backups", "delete-failed-pending-snapshots",
            "check", "repair",
         } do
            assert.is_truthy(help:find("\n  " .. word .. " ", 1, true), word)
            local own = ok(word, "--help")
            assert.is_truthy(own:find("usage: pkv " .. word, 1, true), own)
         end
         for code = DONE, CORRUPT do
            assert.is_truthy(help:find(("\n  %d  "):format(code)), help)
         end
         assert.are.equal("pkv " .. require("pkv").version .. "\n", ok "--version")
      end)
   end)

   describe("on a folder of the crate's", function()
      it("decides nothing about its keys and values by reading", function()
         local copy = folder .. "/crate"
         assert.is_true(os.execute(("cp -r spec/fixtures/crate/u64_wal %s && chmod -R u+w %s"):format(copy, copy)))
         ok("list", copy)
         ok("stat", copy)
         local keyed = assert(pkv_module.open(copy, { keys = "u64", values = "string" }))
         assert.is_true(#keyed > 0)
         assert.are.equal(LOCKED, (pkv("list", "--keys", "string", copy)))
         pkv_module.close(keyed)
         local code, _, err = pkv("list", "--keys", "string", copy)
         assert.are.equal(WRONG_USE, code)
         assert.matches("u64 keys", err)
      end)
   end)
end)
