--- pkv.check and pkv.repair: what the command tells in lines, as tables.
local lfs = require "lfs"
local pkv = require "pkv"
local command = require "spec.support.command"
local disk = require "spec.support.disk"
local helper = require "spec.support.helper"

local raised = helper.raised
local LOG = "snapshot_1_0-of-1_diff.bin"

local path

before_each(function() path = disk.folder() end)
after_each(disk.clean)

--- A closed store of n entries, all in the log.
local function logged(n)
   local store = assert(pkv.open(path))
   for i = 1, n do store["key " .. i] = "value " .. i end
   assert(pkv.close(store))
   return disk.records(helper.read(path .. "/" .. LOG))
end

local function damage(...)
   local bytes = helper.read(path .. "/" .. LOG)
   for _, record in ipairs { ... } do bytes = disk.flipped(bytes, record.upto - 6) end
   helper.write(path .. "/" .. LOG, bytes)
end

--- What the command prints of the findings.
local function lines_of(findings)
   local lines = {}
   for i, finding in ipairs(findings) do
      lines[i] = ("%s %s %s: %s"):format(finding.kind, finding.file or "-", finding.offset or "-", finding.message)
   end
   return lines
end

local function printed(...)
   local lines = {}
   for line in (select(2, command(...))):gmatch "[^\n]+" do lines[#lines + 1] = line end
   return lines
end

describe("pkv.check", function()
   it("tells of a sound store that it is sound, and what was read", function()
      logged(3)
      local size = disk.size(path, LOG)
      assert.same({ sound = true, files = 1, records = 3, bytes = size, damaged = 0, torn = 0, leftovers = 0,
                    findings = {} }, pkv.check(path))
   end)

   it("tells what the command tells, with file, offset and length", function()
      local records = logged(20)
      damage(records[3], records[7], records[8])
      helper.write(path .. "/snapshot_9_0-of-1_pending.bin", "half a snapshot")
      local before = disk.files(path)
      local report = assert(pkv.check(path))
      assert.same(before, disk.files(path))
      assert.is_false(report.sound)
      assert.equal(2, report.damaged)
      assert.equal(1, report.leftovers)
      assert.equal(17, report.records)
      local first, second, third = table.unpack(report.findings)
      assert.same({ "damaged", LOG, records[3].from, records[3].upto - records[3].from },
                  { first.kind, first.file, first.offset, first.bytes })
      assert.same({ "damaged", LOG, records[7].from, records[8].upto - records[7].from },
                  { second.kind, second.file, second.offset, second.bytes })
      assert.same({ "leftover", "snapshot_9_0-of-1_pending.bin", 15 }, { third.kind, third.file, third.bytes })
      assert.is_nil(third.offset)
      local lines = printed("check", path)
      lines[#lines] = nil -- the sum
      assert.same(lines, lines_of(report.findings))
   end)

   it("tells of a torn end, which is no damage", function()
      disk.killed(path, [[
         local store = assert(pkv.open(path))
         store.a, store.b = "one", "two"]])
      local bytes = helper.read(path .. "/" .. LOG)
      local records = disk.records(bytes)
      helper.write(path .. "/" .. LOG, bytes:sub(1, records[2].upto - 1))
      local report = assert(pkv.check(path))
      assert.is_true(report.sound)
      assert.equal(1, report.torn)
      assert.equal("torn", report.findings[1].kind)
      assert.equal(records[2].from, report.findings[1].offset)
   end)

   it("tells how many findings it does not tell", function()
      damage(table.unpack(logged(400)))
      local report = assert(pkv.check(path))
      assert.equal(1, report.damaged) -- they touch each other
      path = disk.folder()
      local every_other = {}
      for i, record in ipairs(logged(400)) do
         if i % 2 == 0 then every_other[#every_other + 1] = record end
      end
      damage(table.unpack(every_other))
      report = assert(pkv.check(path))
      assert.equal(200, report.damaged)
      assert.equal(101, #report.findings)
      assert.equal("more", report.findings[101].kind)
      assert.equal(100, report.findings[101].records)
   end)

   it("is nil, message, code where it cannot be done, and raises what is no path", function()
      local report, message, code = pkv.check(path)
      assert.same({ nil, "not_found" }, { report, code })
      assert.match(path, message, 1, true)
      local store = assert(pkv.open(path))
      report, message, code = pkv.check(path)
      assert.same({ nil, "locked" }, { report, code })
      assert.match(path, message, 1, true)
      assert(pkv.close(store))
      for _, wrong in ipairs { {}, "", "a\0b", true } do assert.match("bad argument #1", raised(pkv.check, wrong)) end
      assert.match("bad argument #1", raised(pkv.check))
   end)
end)

describe("pkv.repair", function()
   local function content_of(folder, options)
      local store = assert(pkv.open(folder, options))
      local content = {}
      for key, value in pkv.each(store) do content[key] = value end
      assert(pkv.close(store))
      return content
   end

   it("salvages beside the folder, and tells what was lost", function()
      local records = logged(20)
      damage(records[3], records[9])
      local before, output = disk.files(path), disk.folder()
      local report = assert(pkv.repair(path, { output = output }))
      assert.same(before, disk.files(path))
      local expected = { files = 1, records = 18, skipped = 2, missing = 0, manifest_lost = false, finished = false,
         skipped_bytes = records[3].upto - records[3].from + records[9].upto - records[9].from,
         output = output, originals = path }
      for name, value in pairs(expected) do assert.equal(value, report[name], name) end
      local content = content_of(output)
      assert.is_nil(content["key 3"])
      assert.equal("value 4", content["key 4"])
      local lines = printed("repair", "--output", disk.folder(), path)
      lines[#lines] = nil -- the sum
      lines[#lines] = nil -- what was lost
      assert.same(lines, lines_of(report.findings))
      assert.equal(18, report.findings[3].records)
      assert.is_true(assert(pkv.check(output)).sound)
   end)

   it("puts the salvaged store beside the old one if nothing else is said", function()
      logged(3)
      local report = assert(pkv.repair(path))
      assert.equal(path .. ".repaired", report.output)
      assert.equal("value 2", content_of(path .. ".repaired")["key 2"])
   end)

   it("replaces the store in place, and finishes what was interrupted", function()
      logged(3)
      local report = assert(pkv.repair(path, { in_place = true }))
      assert.equal(path, report.output)
      assert.equal(path .. "/damaged-1", report.originals)
      assert.is_false(report.finished)
      local log = disk.names(path)[1]
      assert(lfs.mkdir(path .. "/repaired"))
      assert(os.rename(path .. "/" .. log, path .. "/repaired/" .. log:gsub("diff", "pending")))
      assert.is_false(assert(pkv.check(path)).sound)
      local _, message, code = pkv.repair(path, { output = disk.folder() })
      assert.match("interrupted", message)
      assert.equal("usage", code)
      assert.is_true(assert(pkv.repair(path, { in_place = true })).finished)
      assert.equal("value 2", content_of(path)["key 2"])
   end)

   it("is told the keys where no manifest tells, and reads backups if told to", function()
      path = disk.copy "spec/fixtures/crate/u16_wal"
      local _, message, code = pkv.repair(path, { output = disk.folder() })
      assert.match("keys", message)
      assert.equal("usage", code)
      local output = disk.folder()
      assert(pkv.repair(path, { output = output, keys = "u16" }))
      local options = { keys = "u16", values = "string" }
      assert.same(content_of(disk.copy(path), options), content_of(output, options))

      path = disk.folder()
      local store = assert(pkv.open(path))
      for i = 1, 2 do
         store.x = i
         assert(pkv.snapshot(store))
      end
      assert(pkv.close(store))
      assert.equal(1, assert(pkv.repair(path, { output = disk.folder() })).records)
      assert.equal(2, assert(pkv.repair(path, { output = disk.folder(), with_backups = true })).records)
   end)

   it("is nil, message, code where it cannot be done", function()
      local _, _, code = pkv.repair(path)
      assert.equal("not_found", code)
      local store = assert(pkv.open(path))
      assert.equal("locked", (select(3, pkv.repair(path))))
      assert(pkv.close(store))
      assert.equal("key_mode", (select(3, pkv.repair(path, { keys = "u8", output = disk.folder() }))))
      local there = disk.folder()
      assert(lfs.mkdir(there))
      assert.equal("usage", (select(3, pkv.repair(path, { output = there }))))
      assert.equal("usage", (select(3, pkv.repair(path, { output = disk.folder(), in_place = true }))))
   end)

   it("raises options that it does not know, or of the wrong kind", function()
      for name, wrong in pairs { output = "", in_place = 1, with_backups = "yes", keys = "u128" } do
         local message = raised(pkv.repair, path, { [name] = wrong })
         assert.match("bad argument #2", message)
         assert.match("option '" .. name .. "' must be", message, 1, true)
      end
      assert.match("option 'output' must be", raised(pkv.repair, path, { output = "a\0b" }), 1, true)
      local message = raised(pkv.repair, path, { in_palce = true })
      assert.match('unknown option string "in_palce"; the options are output, in_place', message, 1, true)
      assert.match("unknown option number 1;", raised(pkv.repair, path, { "x" }), 1, true)
      assert.match("bad argument #2", raised(pkv.repair, path, "x"))
      assert.match("bad argument #1", raised(pkv.repair))
   end)
end)
