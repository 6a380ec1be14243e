--- pkv repair: every record that can be read is in the new store, nothing else is, what was lost is
-- told, and the old files are left alone.
local lfs = require "lfs"
local pkv = require "pkv"
local internals = require "pkv_internals"
local command = require "spec.support.command"
local disk = require "spec.support.disk"
local helper = require "spec.support.helper"
local random = require "spec.support.random"

local DONE, WRONG_USE, LOCKED, LOST = 0, 2, 4, 5
local LOG = "snapshot_1_0-of-1_diff.bin"

local path

before_each(function() path = disk.folder() end)
after_each(disk.clean)

--- Repairs beside the folder, and makes sure that no file of it has changed and that the new store
-- is sound. The code, the output, the new folder.
local function repair(...)
   local before = disk.files(path)
   local output = disk.folder()
   local words = { "--output", output, ... }
   words[#words + 1] = path
   local code, out, err = command("repair", table.unpack(words))
   assert.same(before, disk.files(path))
   assert.equal("", err)
   assert.match("\nsalvaged: ", "\n" .. out, 1, true)
   local checked, findings = command("check", output)
   assert.equal(0, checked, findings)
   return code, out, output
end

--- Entries "key 1" to "key n" in the log, and what they are.
local function logged(n, options)
   local store, content = assert(pkv.open(path, options)), {}
   for i = 1, n do
      content["key " .. i] = ("value %d "):format(i) .. ("x"):rep(i)
      store["key " .. i] = content["key " .. i]
   end
   assert(pkv.close(store))
   return content
end

local function damage(name, offset, new)
   local bytes = helper.read(path .. "/" .. name)
   helper.write(path .. "/" .. name, new and disk.patched(bytes, offset, new) or disk.flipped(bytes, offset, 3))
end

--- What is told of a record that cannot be read. As the last one of a log whose size is not known it
-- ends with its last byte that is not zero: a checksum may end in zeros.
local function range_of(record)
   local used = disk.used(helper.read(path .. "/" .. LOG))
   return { LOG, record.from, math.min(record.upto, used) - record.from }
end

--- Skipped ranges as the output tells them: { file, offset, bytes }.
local function ranges(out)
   local found = {}
   for file, offset, bytes in out:gmatch "skipped (%S+) (%d+): skipped (%d+) bytes" do
      found[#found + 1] = { file, tonumber(offset), tonumber(bytes) }
   end
   return found
end

describe("pkv repair of a sound store", function()
   it("keeps all of it: values of all types, removed keys, and the kind of keys", function()
      local store = assert(pkv.open(path, { wal_shards = 3, snapshot_shard_bytes = 64 }))
      local content = {}
      for i = 1, 60 do
         local value = ({ i, i + 0.5, tostring(i), i % 2 == 0, { i } })[i % 5 + 1]
         store["key " .. i], content["key " .. i] = value, value
      end
      assert(pkv.snapshot(store))
      store[""], content[""] = "the empty key", "the empty key"
      store["key 7"], content["key 7"] = nil, nil
      assert(pkv.close(store))
      local code, out, output = repair()
      assert.equal(DONE, code, out)
      assert.same(content, helper.content_of(output))

      path = disk.folder()
      store = assert(pkv.open(path, { keys = "i16", values = "u8" }))
      store[-5] = 200
      assert(pkv.close(store))
      code, out, output = repair()
      assert.equal(DONE, code, out)
      assert.same({ [-5] = 200 }, helper.content_of(output, { keys = "i16", values = "u8" }))
   end)

   it("leaves out a torn tail, and loses nothing to the zeros behind the last record", function()
      disk.killed(path, [[
         local store = assert(pkv.open(path))
         store.a = "one"
         store.b = "two"]])
      local code, out, output = repair()
      assert.equal(DONE, code, out)
      assert.same({ a = "one", b = "two" }, helper.content_of(output))
      local records = disk.records(helper.read(path .. "/" .. LOG))
      damage(LOG, records[2].upto - 1)
      code, out, output = repair()
      assert.equal(LOST, code)
      assert.same({ range_of(records[2]) }, ranges(out))
      assert.same({ a = "one" }, helper.content_of(output))
   end)

   it("of the crate's keeps what its crate kept", function()
      for name in lfs.dir "spec/fixtures/crate" do
         local mode = name:match "^(%a+%d*)_%a+$"
         if mode then
            path = disk.copy("spec/fixtures/crate/" .. name)
            local code, out, output = repair("--keys", mode)
            assert.equal(DONE, code, out)
            local options = { keys = mode, values = "string" }
            assert.same(helper.content_of(disk.copy(path), options), helper.content_of(output, options))
         end
      end
   end)
end)

describe("pkv repair of a log", function()
   it("with a flipped bit anywhere loses the record it is in, and tells where that was", function()
      local content = logged(30)
      local bytes = helper.read(path .. "/" .. LOG)
      local records = disk.records(bytes)
      random.rounds(1, function()
         for offset = math.random(0, 10), #bytes - 1, 11 do
            helper.write(path .. "/" .. LOG, disk.flipped(bytes, offset, math.random(0, 7)))
            local hit
            for _, record in ipairs(records) do
               if record.from <= offset and offset < record.upto then hit = record end
            end
            local code, out, output = repair()
            assert.equal(LOST, code)
            assert.same({ { LOG, hit.from, hit.upto - hit.from } }, ranges(out))
            assert.match("older value", out, 1, true)
            local lost = content[hit.key]
            content[hit.key] = nil
            assert.same(content, helper.content_of(output))
            content[hit.key] = lost
         end
      end)
   end)

   it("with damage of many kinds keeps what is between, large records too", function()
      local store = assert(pkv.open(path))
      local big = ("0123456789"):rep(50000)
      for i = 1, 9 do store["key " .. i] = i % 3 == 0 and big or ("small " .. i) end
      assert(pkv.close(store))
      local records = disk.records(helper.read(path .. "/" .. LOG))
      damage(LOG, records[2].from + 4, "\0\0\0\0")
      damage(LOG, records[5].upto - 3)
      damage(LOG, records[6].from + 300000, ("\0"):rep(5000))
      damage(LOG, records[8].from, "\xff\xff\xff\x0f")
      local code, out, output = repair()
      assert.equal(LOST, code)
      assert.equal(3, #ranges(out), out) -- the second is two records
      assert.is_true(helper.same({ ["key 1"] = "small 1", ["key 3"] = big, ["key 4"] = "small 4",
         ["key 7"] = "small 7", ["key 9"] = big }, helper.content_of(output))) -- too large to print
   end)

   it("finds what follows a damaged value that is made to look like records at every place", function()
      local store = assert(pkv.open(path))
      -- Lengths of large records, each with the tags of a key and of a checksum where they should be.
      for i = 1, 3 do store["made " .. i] = ("\xf1\xfe\x0f\x0a\x7d"):rep(60000) end
      store.last = "found"
      assert(pkv.close(store))
      local records = disk.records(helper.read(path .. "/" .. LOG))
      for i = 1, 3 do damage(LOG, records[i].upto - 30) end
      local code, out, output = repair()
      assert.equal(LOST, code)
      assert.same({ { LOG, 0, records[3].upto } }, ranges(out))
      assert.same({ last = "found" }, helper.content_of(output))
   end)

   it("that is cut short tells what is missing", function()
      logged(10)
      local bytes = helper.read(path .. "/" .. LOG)
      local records = disk.records(bytes)
      helper.write(path .. "/" .. LOG, bytes:sub(1, records[8].from))
      local code, out = repair()
      assert.equal(LOST, code)
      assert.same({ { LOG, records[8].from, #bytes - records[8].from } }, ranges(out))
   end)
end)

describe("pkv repair of a snapshot", function()
   local content, names

   before_each(function()
      content = {}
      local store = assert(pkv.open(path, { snapshot_shard_bytes = 512, memory_shards = 8 }))
      for i = 1, 100 do content["key " .. i] = "value " .. i end
      for key, value in pairs(content) do store[key] = value end
      assert(pkv.snapshot(store))
      store["key 1"], content["key 1"] = "newer", "newer"
      assert(pkv.close(store))
      names = {}
      for _, name in ipairs(disk.names(path)) do
         if name:find "_full" then names[#names + 1] = name end
      end
      assert.is_true(#names > 2)
   end)

   it("without one of its files keeps the others", function()
      local lost = disk.records(helper.read(path .. "/" .. names[2]))
      disk.remove(path, names[2])
      local code, out, output = repair()
      assert.equal(LOST, code)
      assert.match("damaged " .. names[2], out, 1, true)
      for _, record in ipairs(lost) do
         if record.key ~= "key 1" then content[record.key] = nil end
      end
      assert.same(content, helper.content_of(output))
   end)

   it("with a flipped bit keeps all other records", function()
      local records = disk.records(helper.read(path .. "/" .. names[1]))
      local hit = records[#records // 2]
      damage(names[1], hit.from + 5)
      local code, out, output = repair()
      assert.equal(LOST, code)
      assert.same({ { names[1], hit.from, hit.upto - hit.from } }, ranges(out))
      if hit.key ~= "key 1" then content[hit.key] = nil end
      assert.same(content, helper.content_of(output))
   end)

   it("reads backups only if it is told to", function()
      local store = assert(pkv.open(path))
      store["key 2"] = nil
      assert(pkv.snapshot(store))
      assert(pkv.close(store))
      for _, name in ipairs(disk.names(path)) do
         if name:find "^snapshot_4_.*full" then disk.remove(path, name) end
      end
      local newest = internals.manifest_read(path).snapshots
      assert.equal(2, #newest)
      local plain = select(3, repair())
      assert.same({}, helper.content_of(plain))
      local found = helper.content_of(select(3, repair "--with-backups"))
      assert.equal("value 3", found["key 3"])
      assert.equal("value 2", found["key 2"]) -- removed later, as the help warns
   end)
end)

describe("pkv repair without a manifest", function()
   local function damage_manifest(how)
      if how == "gone" then return disk.remove(path, "manifest") end
      damage("manifest", 3)
   end

   it("wants to be told the kind of keys, and then still believes no damaged record", function()
      for _, how in ipairs { "gone", "damaged" } do
         path = disk.folder()
         local content = logged(30)
         local records = disk.records(helper.read(path .. "/" .. LOG))
         damage_manifest(how)
         local code, _, err = command("repair", "--output", disk.folder(), path)
         assert.equal(WRONG_USE, code)
         assert.match("keys", err)
         local out, output
         code, out, output = repair("--keys", "string")
         assert.equal(DONE, code, out)
         assert.match("without a manifest", out, 1, true)
         assert.same(content, helper.content_of(output))
         for _, number in ipairs { 1, 15, 30 } do
            local hit = records[number]
            local bytes = helper.read(path .. "/" .. LOG)
            damage(LOG, hit.upto - 8) -- in the value: a reader without checksums would believe it
            code, out, output = repair("--keys", "string")
            assert.equal(LOST, code, out)
            assert.same({ range_of(hit) }, ranges(out))
            local lost = content[hit.key]
            content[hit.key] = nil
            assert.same(content, helper.content_of(output))
            content[hit.key] = lost
            helper.write(path .. "/" .. LOG, bytes)
         end
      end
   end)

   it("takes the newest snapshot and the logs above it, by their names", function()
      disk.killed(path, [[
         local store = assert(pkv.open(path, { keys = "u32", wal_shards = 2 }))
         for round = 1, 3 do
            for i = 1, 20 do store[i] = i * round end
            if round < 3 then assert(pkv.snapshot(store)) end
         end
         store[1] = nil]])
      local content = {}
      for i = 2, 20 do content[i] = i * 3 end
      disk.remove(path, "manifest")
      local code, out, output = repair("--keys", "u32")
      assert.equal(DONE, code, out)
      assert.same(content, helper.content_of(output, { keys = "u32", values = "any" }))
      local names = disk.names(path)
      disk.remove(path, names[#names])
      code, out = repair("--keys", "u32")
      assert.equal(LOST, code)
      assert.match("damaged " .. names[#names], out, 1, true)
   end)

   it("does not take a store's record of one file for the crate's", function()
      local store = assert(pkv.open(path))
      store.only = "one"
      assert(pkv.close(store))
      disk.remove(path, "manifest")
      local _, _, output = repair("--keys", "string")
      assert.same({ only = "one" }, helper.content_of(output))
   end)

   it("reads a snapshot of the crate's whose renaming was interrupted", function()
      local function records(from, upto)
         local parts = {}
         for i = from, upto do parts[#parts + 1] = ("\x0d\x0a\x02%d\x12\x07value%d"):format(i, i) end
         return table.concat(parts)
      end
      assert(lfs.mkdir(path))
      helper.write(path .. "/snapshot_2_0-of-2_full.bin", records(10, 29))
      helper.write(path .. "/snapshot_2_1-of-2_pending.bin", records(30, 49))
      local content = {}
      for i = 10, 49 do content[tostring(i)] = "value" .. i end
      local code, out, output = repair("--keys", "string")
      assert.equal(DONE, code, out)
      assert.same(content, helper.content_of(output))
   end)

   it("finds the crate's records again behind damage", function()
      local parts, content = {}, {}
      for i = 10, 59 do
         parts[#parts + 1] = ("\x0d\x0a\x02%d\x12\x07value%d"):format(i, i)
         content[tostring(i)] = "value" .. i
      end
      assert(lfs.mkdir(path))
      helper.write(path .. "/" .. LOG, table.concat(parts))
      damage(LOG, 14 * 20 + 1, "\xff\xff")
      content["30"] = nil
      local code, out, output = repair("--keys", "string")
      assert.equal(LOST, code)
      assert.same({ { LOG, 280, 14 } }, ranges(out))
      assert.same(content, helper.content_of(output))
      damage(LOG, 14 * 30, "\xff")
      content["40"] = nil
      code, out, output = repair("--keys", "string")
      assert.equal(LOST, code)
      assert.equal(2, #ranges(out))
      assert.same(content, helper.content_of(output))
   end)
end)

describe("pkv repair in place", function()
   it("moves the old files away and puts the new ones where they were", function()
      local content = logged(20)
      damage(LOG, 40)
      local before = disk.files(path)
      local code, out = command("repair", "--in-place", path)
      assert.equal(LOST, code)
      assert.match(path .. "/damaged-1", out, 1, true)
      assert.same(before, disk.files(path .. "/damaged-1"))
      assert.equal(0, (command("check", path)))
      local found, missing = helper.content_of(path), 0
      for key, value in pairs(content) do
         if found[key] == nil then missing = missing + 1 else assert.equal(value, found[key]) end
      end
      assert.equal(1, missing)
      assert.equal(DONE, (command("repair", "--in-place", path)))
      assert.equal("directory", lfs.attributes(path .. "/damaged-2", "mode"))
      assert.same(before, disk.files(path .. "/damaged-1"))
      assert.same(found, helper.content_of(path))
   end)

   it("works where the manifest is gone, and on folders of the crate", function()
      local content = logged(20)
      disk.remove(path, "manifest")
      assert.equal(DONE, (command("repair", "--in-place", "--keys", "string", path)))
      assert.same(content, helper.content_of(path))
      path = disk.copy "spec/fixtures/crate/string_wal"
      content = helper.content_of(disk.copy(path), { values = "string" })
      assert.equal(DONE, (command("repair", "--in-place", "--keys", "string", path)))
      assert.same(content, helper.content_of(path, { values = "string" }))
   end)

   --- Makes the folder what it was between the steps 3 and 4.
   local function interrupt()
      assert.equal(DONE, (command("repair", "--in-place", path)))
      local log = disk.names(path)[1]
      local pending = log:gsub("diff", "pending")
      assert(lfs.mkdir(path .. "/repaired"))
      assert(os.rename(path .. "/" .. log, path .. "/repaired/" .. pending))
      assert(os.rename(path .. "/damaged-1/" .. LOG, path .. "/" .. LOG))
   end

   it("that was interrupted leaves a folder that nobody opens, and is ended by another", function()
      local content = logged(5)
      local original = disk.files(path)
      interrupt()
      local store, _, code = pkv.open(path)
      assert.is_nil(store)
      assert.equal("corrupt", code)
      assert.equal(original[LOG], helper.read(path .. "/" .. LOG))
      local exit, out = command("check", path)
      assert.equal(LOST, exit)
      assert.match("damaged repaired -: a repair in place was interrupted", out, 1, true)
      local err
      exit, _, err = command("repair", "--output", disk.folder(), path)
      assert.equal(WRONG_USE, exit)
      assert.match("interrupted", err)
      exit, out = command("repair", "--in-place", path)
      assert.equal(DONE, exit)
      assert.match("finished: ", out, 1, true)
      assert.equal(0, (command("check", path)))
      assert.same(content, helper.content_of(path))
      assert.same(original, disk.files(path .. "/damaged-1"))
   end)

   it("that was interrupted is ended also where its folder for old files is gone", function()
      local content = logged(5)
      local log = helper.read(path .. "/" .. LOG)
      interrupt()
      os.execute("rm -r " .. path .. "/damaged-1")
      local exit, out = command("repair", "--in-place", path)
      assert.equal(DONE, exit)
      assert.match("finished: ", out, 1, true)
      assert.equal(0, (command("check", path)))
      assert.same(content, helper.content_of(path))
      assert.same({ [LOG] = log }, disk.files(path .. "/damaged-1"))
   end)
end)

describe("pkv repair", function()
   it("refuses an output that is there, two places, other keys, and an open store", function()
      logged(3)
      local there = disk.folder()
      assert(lfs.mkdir(there))
      assert.equal(WRONG_USE, (command("repair", "--output", there, path)))
      assert.equal(WRONG_USE, (command("repair", "--output", disk.folder(), "--in-place", path)))
      assert.equal(WRONG_USE, (command("repair", "--output", disk.folder(), "--keys", "u64", path)))
      local store = assert(pkv.open(path))
      assert.equal(LOCKED, (command("repair", "--output", disk.folder(), path)))
      assert(pkv.close(store))
      assert.equal(1, (command("repair", disk.folder())))
   end)

   it("writes to PATH.repaired if nothing else is said, slashes at the end or not", function()
      local content = logged(3)
      assert.equal(DONE, (command("repair", path .. "//")))
      assert.same(content, helper.content_of(path .. ".repaired"))
   end)

   it("gives up in time where every byte looks like the beginning of a record", function()
      for _, pattern in ipairs { "\xfd\xfd\x0f\x7d", "\xff\xff\x0f\x0a", "\x7d", "\x0a" } do
         path = disk.folder()
         assert(lfs.mkdir(path))
         helper.write(path .. "/" .. LOG, pattern:rep(1 << 19))
         local _, how = os.execute(("ulimit -t 120; %s/pkv repair --keys string --output %s %s > /dev/null 2>&1")
            :format(os.getenv "PKV_BUILD" or "build", disk.folder(), path))
         assert.equal("exit", how, "it takes more than 2 minutes of a processor")
      end
   end)

   it("survives hostile files without taking much memory", function()
      local big = "\xff\xff\xff\xff\x04" -- a record of 1 GiB
      random.rounds(15, function()
         path = disk.folder()
         logged(10)
         local bytes = helper.read(path .. "/" .. LOG)
         local parts = {}
         for i = 1, 20 do
            local from = math.random(#bytes)
            parts[i] = ({ big, random.bytes(math.random(40)), bytes:sub(from, from + 60), ("\x7d"):rep(50),
               "\x80\x80", ("\0"):rep(30), "\x05\x0a\xff\xff\xff\x7f" })[math.random(7)]
         end
         helper.write(path .. "/" .. LOG, table.concat(parts))
         if math.random(2) == 1 then
            helper.write(path .. "/manifest", random.bytes(50))
            helper.write(path .. "/snapshot_9223372036854775807_65535-of-65536_full.bin", table.concat(parts))
         end
         local output = disk.folder()
         local limit = os.getenv "SPEC_PRELOAD" and "" or "ulimit -v 400000; "
         local _, how, code = os.execute(("%s%s/pkv repair --keys string --output %s %s > /dev/null 2>&1")
            :format(limit, os.getenv "PKV_BUILD" or "build", output, path))
         assert.equal("exit", how)
         assert.is_true(code == DONE or code == LOST or code == WRONG_USE, code)
         if code ~= WRONG_USE then assert.equal(0, (command("check", output))) end
      end)
   end)
end)
