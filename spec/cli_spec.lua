-- The pkv command: what it prints, what it exits with, and that it never loses or mangles a byte.
local helper = require "spec.support.helper"
local internals = require "pkv_internals"
local set_typed = require "pkv_internals.lua".set_typed
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
         ok("set", "--type", "boolean", store, "boolean", "false")
         assert.are.equal("\0", ok("get", "--raw", store, "boolean"))
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
         for _, wrong in ipairs { "", "1.5x", "x" } do
            assert.are.equal(WRONG_USE, (pkv("set", "--type", "float", store, "n", wrong)))
         end
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

   describe("values that other programs wrote", function()
      local INTEGER, FLOAT, BOOLEAN, TABLE = 1, 2, 3, 4

      local function escaped(bytes)
         return (bytes:gsub("[^ -~]", function(byte) return ("\\x%02x"):format(byte:byte()) end))
      end

      --- Each case is { bytes, type, what get and list show }.
      local function are_shown(cases)
         local entries, lines = {}, {}
         for i, case in ipairs(cases) do
            entries[i] = { ("%04d"):format(i), case[1], case[2] }
            lines[i] = ("%04d\t%s"):format(i, case[3])
         end
         set_typed(store, entries)
         assert.are.same(lines, lines_of(ok("list", store)))
         assert.are.equal(cases[1][3] .. "\n", ok("get", store, "0001"))
      end

      it("are tables in every form of MessagePack, and bytes where they are cut short", function()
         local cases = {}
         for bytes, text in pairs {
            ["\x94\x01\xff\xcc\xc8\xd0\x9c"] = "[1, -1, 200, -100]",
            ["\x93\xcd\1\0\xce\1\0\0\0\xcf\xff\0\0\0\0\0\0\0"] = "[256, 16777216, 18374686479671623680]",
            ["\x93\xd1\xff\0\xd2\xff\0\0\0\xd3\xff\0\0\0\0\0\0\0"] = "[-256, -16777216, -72057594037927936]",
            ["\x92\xca\x3f\xc0\0\0\xcb\xbf\xf8\0\0\0\0\0\0"] = "[1.5, -1.5]",
            ["\x93\xc0\xc2\xc3"] = "[null, false, true]",
            ["\x94\xa1a\xd9\x01b\xda\0\x01c\xdb\0\0\0\x01d"] = '["a", "b", "c", "d"]',
            ["\x93\xc4\x01a\xc5\0\x01b\xc6\0\0\0\x01c"] = '["a", "b", "c"]',
            ["\xdc\0\x01\xdd\0\0\0\x01\x07"] = "[[7]]",
            ["\x82\x01\xde\0\x01\xa1a\xdf\0\0\0\x01\xc3\x02\x03\x04"] = '{1: {"a": {true: 2}}, 3: 4}',
         } do
            cases[#cases + 1] = { bytes, TABLE, text }
            for size = 0, #bytes - 1 do
               cases[#cases + 1] = { bytes:sub(1, size), TABLE, escaped(bytes:sub(1, size)) }
            end
         end
         are_shown(cases)
      end)

      it("are shown as bytes where they are no such value", function()
         local cases = { { ("\x91"):rep(511) .. "\x90", TABLE, ("["):rep(512) .. ("]"):rep(512) } }
         for _, bytes in ipairs { "\x90\x90", "\x91\xc1", "\x91\xd4\1\1", ("\x91"):rep(512) .. "\x90" } do
            cases[#cases + 1] = { bytes, TABLE, escaped(bytes) }
         end
         for _, kind in ipairs { INTEGER, FLOAT, BOOLEAN } do
            for _, bytes in ipairs { "", "1234567", "123456789" } do cases[#cases + 1] = { bytes, kind, bytes } end
         end
         are_shown(cases)
      end)

      it("are integers only where they have the width of the store's", function()
         set_typed(store, { { "two", "\1\2", 0 }, { "three", "\1\2\3", 0 } })
         local manifest = internals.manifest_read(store)
         manifest.values = 16 + 5 -- u16
         assert(internals.manifest_write(store, manifest))
         assert.are.same({ "three\t\\x01\\x02\\x03", "two\t513" }, lines_of(ok("list", store)))
      end)

      it("are floats of as many digits as tell them apart", function()
         local cases = { { "\0", BOOLEAN, "false" } }
         for text, number in pairs { ["0.30000000000000004"] = 0.1 + 0.2, inf = 1 / 0, ["1.0"] = 1,
                                     ["1e+300"] = 1e300 } do
            cases[#cases + 1] = { string.pack("<d", number), FLOAT, text }
         end
         cases[#cases + 1] = { string.pack("<i8", 0x7ff8 << 48), FLOAT, "nan" }
         are_shown(cases)
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
         code, _, err = pkv("set", store, "c", "many")
         assert.are.equal(WRONG_USE, code)
         assert.is_truthy(err:find("'many'", 1, true), err)
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
         assert.are.equal(WRONG_USE, (pkv("unset", store, "alice")))
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
         assert.are.equal("6b6579\n", ok("list", "--hex", "--names", store))
      end)

      it("says so when the output cannot be written", function()
         for i = 1, 3 do -- by then it is more than what waits in a buffer
            ok("set", store, "a" .. i, ("b"):rep(i == 3 and 100000 or 1))
            local _, _, code = os.execute(("%s list %s > /dev/full 2> %s/err"):format(command, store, folder))
            assert.are.equal(FAILED, code)
            assert.is_truthy(read(folder .. "/err"):find "output")
         end
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
         assert.are.equal("0\n", ok("prune-backups", store, "4294967295"))
         assert.are.equal(WRONG_USE, (pkv("prune-backups", store, "4294967296")))
         assert.are.equal(NOT_FOUND, (pkv("prune-backups", store .. "-not", "0")))
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

      it("of a snapshot that cannot be written leave the store as it was", function()
         ok("set", store, "key", "value")
         assert.is_true(os.execute("mkdir " .. store .. "/snapshot_2_0-of-1_pending.bin"))
         local code, _, err = pkv("snapshot", store)
         assert.are.equal(FAILED, code)
         assert.is_truthy(err:find("snapshot_2_0-of-1_pending.bin", 1, true), err)
         assert.are.equal("value", ok("get", store, "key"))
      end)

      it("of a file that cannot be read are told by check", function()
         ok("set", store, "key", "value")
         local log = store .. "/snapshot_1_0-of-1_diff.bin"
         assert.is_true(os.execute(("rm %s && mkdir %s"):format(log, log)))
         local code, out = pkv("check", store)
         assert.are.equal(FAILED, code)
         assert.matches("^unreadable snapshot_1_0%-of%-1_diff.bin %-: ", out)
      end)

      it("of a value that cannot be read, or has no room, change nothing", function()
         ok("set", store, "key", "value")
         local code, _, err = pkv_with(folder, "set", store, "key", "-")
         assert.are.equal(FAILED, code)
         assert.is_truthy(err:find("stdin", 1, true), err)
         write(folder .. "/value", ("x"):rep(1000000))
         local limited = ("trap '' XFSZ; ulimit -f 1000; %s set %s key - < %s/value 2> %s/err")
         local _, _, failed = os.execute(limited:format(command, store, folder, folder))
         assert.are.equal(FAILED, failed)
         assert.is_truthy(read(folder .. "/err"):find("File too large", 1, true))
         assert.are.equal("value", ok("get", store, "key"))
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
         assert.are.equal(help, ok "-h")
         assert.are.equal(ok "--version", ok "-V")
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
