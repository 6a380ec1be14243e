-- What the pkv command complains of, on stderr: the whole text, and the advice below it.
local pkv = require "pkv"
local command = require "spec.support.command"
local compat = require "spec.support.compat"
local disk = require "spec.support.disk"
local helper = require "spec.support.helper"

local LOG = "snapshot_1_0-of-1_diff.bin"
local build = os.getenv "PKV_BUILD" or "build"

local path
before_each(function() path = disk.folder() end)
after_each(disk.clean)

--- That is the text, without "pkv: ".
local function complains(text, ...)
   local _, _, err = command(...)
   assert.equal("pkv: " .. text .. "\n", err)
end

local function make(options, key, value)
   local store = assert(pkv.open(path, options))
   store[key] = value
   assert(pkv.close(store))
end

describe("the command says", function()
   it("how it is used", function()
      complains("usage: pkv COMMAND [OPTIONS] PATH ... (see pkv --help)")
      complains("no command 'frobnicate' (see pkv --help)", "frobnicate")
      complains("usage: pkv get [OPTIONS] PATH KEY (see pkv get --help)", "get", path)
   end)

   it("what an option, or an argument, may be", function()
      complains("--keys: 'i128' is neither string nor an integer type", "list", "--keys", "i128", path)
      complains("--type: 'number' is none of string, integer, float, boolean", "set", "--type", "number", path,
                "k", "1")
      complains("KEEP: 'many' is not a number of snapshots", "prune-backups", path, "many")
      complains("--escaped: in KEY a backslash must begin \\xHH", "set", "-e", path, "a\\b", "v")
      complains("--escaped: in VALUE a backslash must begin \\xHH", "set", "-e", path, "a", "v\\")
      complains("'one' is not an integer", "set", "--type", "integer", path, "a", "one")
      complains("'yes' is not a boolean", "set", "--type", "boolean", path, "a", "yes")
   end)

   it("what the store's keys and values are", function()
      make({ keys = "i8", values = "u16" }, 1, 1)
      complains("the store's keys are i8, and 'one' is none", "get", path, "one")
      complains("key 300 does not fit i8: it must be from -128 to 127", "get", path, "300")
      complains("the store's values are u16, and 'many' is none", "set", path, "1", "many")
      complains("value 65536 does not fit u16: it must be from 0 to 65535", "set", path, "1", "65536")
   end)

   it("what it cannot read or write", function()
      local file = path .. "-value"
      make(nil, "k", "v")
      helper.write(file, "1\0002")
      local function complaint(line)
         compat.execute(("%s/pkv %s 2> %s"):format(build, line, path .. "-err"))
         return helper.read(path .. "-err")
      end
      assert.equal("pkv: a zero byte is part of no number\n",
                   complaint(("set --type integer %s k - < %s"):format(path, file)))
      assert.equal("pkv: reading the value from stdin: Is a directory\n",
                   complaint(("set %s k - < %s"):format(path, path)))
      assert.equal("pkv: writing the output: No space left on device\n",
                   complaint(("get %s k > /dev/full"):format(path)))
   end)

   it("that there is no such key, or store", function()
      make(nil, "k", "v")
      complains(path .. ": no such key: nobody", "get", path, "nobody")
      complains(path .. ": no such key: nobody", "unset", path, "nobody")
      local nowhere = path .. "/nowhere"
      complains(("cannot open store %s: there is no store in %s: no such folder\n     Check the path; `pkv set` " ..
                 "creates a store."):format(nowhere, nowhere), "get", nowhere, "k")
   end)

   it("what to do about a store that another process has", function()
      local store = assert(pkv.open(path))
      complains(("cannot open store %s: store %s is locked: another process has it open\n     End the process that " ..
                 "has the store open, or ask it instead."):format(path, path), "get", path, "k")
      assert(pkv.close(store))
   end)

   it("what to do about other keys and values", function()
      make({ keys = "i8", values = "u16" }, 1, 1)
      complains(("cannot open store %s: store %s has i8 keys, not string keys\n     Leave --keys off, or say what " ..
                 "the store was written with."):format(path, path), "get", "--keys", "string", path, "k")
   end)

   it("what to do about damage", function()
      make(nil, "k", "v")
      local bytes = helper.read(path .. "/" .. LOG)
      helper.write(path .. "/" .. LOG, disk.flipped(bytes, #bytes - 1))
      complains(("cannot open store %s: log file %s is damaged at offset 0: there is no valid record, though the " ..
                 "file had been flushed up to offset %d\n     Nothing was changed. `pkv check` says what is " ..
                 "damaged, `pkv repair` salvages the rest."):format(path, LOG, #bytes), "get", path, "k")
   end)

   it("what to do where the system says no", function()
      make(nil, "k", "v")
      os.remove(path .. "/" .. LOG)
      assert.equal(0, compat.execute("mkdir " .. path .. "/" .. LOG))
      local _, _, err = command("get", path, "k")
      assert.match("\n     Check the folder's permissions, and the disk.\n", err, 1, true)
   end)
end)
