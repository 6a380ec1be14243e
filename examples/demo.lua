-- demo.lua - the main job on real input: the package database of this machine in a store, written by
-- a process that is killed with SIGKILL while it writes. Run by `make demo`.
--
-- The child loads every package, then goes on updating them, round by round, and says on its stdout
-- which write has returned. The parent kills it in the midst of that, opens the store and looks
-- whether all that was acknowledged is there.
--
--     lua5.4 examples/demo.lua [DATABASE]

local pkv = require "pkv"

local DATABASE = "/var/lib/dpkg/status"
local ACKNOWLEDGED_BEFORE_KILL = 20000
local SNAPSHOT_INTERVAL = 5000

-- ---- The package database

local function split_list(text)
   local list = {}
   for item in text:gmatch "[^,]+" do
      list[#list + 1] = item:match "^%s*(.-)%s*$"
   end
   return list
end

local LISTS = { Depends = true, ["Pre-Depends"] = true, Recommends = true, Suggests = true }

local function parse_field(name, text)
   if LISTS[name] then
      return split_list(text)
   end
   return name == "Installed-Size" and math.tointeger(text) or text
end

-- A paragraph of "Name: value" lines; a line that begins with a space goes on with the value before.
local function parse_package(paragraph)
   local package, name = {}, nil
   for line in paragraph:gmatch "[^\n]+" do
      local field, text = line:match "^([%w-]+):%s?(.*)$"
      if field then
         name = field
         package[name] = text
      elseif name then
         package[name] = package[name] .. "\n" .. line
      end
   end
   for field, text in pairs(package) do
      package[field] = parse_field(field, text)
   end
   return package
end

-- Packages by name, and the names in the order of the file.
local function read_packages(path)
   local file, message = io.open(path, "rb")
   if not file then
      return nil, message
   end
   local text = file:read "a" .. "\n\n"
   file:close()
   local packages, names = {}, {}
   for paragraph in text:gmatch "(.-\n)\n+" do
      local package = parse_package(paragraph)
      local name = package.Package
      if name and packages[name] then -- the same package for another architecture
         name = name .. ":" .. tostring(package.Architecture)
      end
      if name and not packages[name] then
         packages[name] = package
         names[#names + 1] = name
      end
   end
   return packages, names
end

-- ---- The child

local function write_for_ever(folder, database)
   local packages, names = assert(read_packages(database))
   local store = assert(pkv.open(folder, { snapshot_interval = SNAPSHOT_INTERVAL }))
   io.stdout:setvbuf "no"
   for round = 1, math.maxinteger do
      for _, name in ipairs(names) do
         packages[name].Round = round
         store[name] = packages[name]
         io.stdout:write(round, " ", name, "\n")
      end
   end
end

-- ---- The parent

local step = 0
local function say(format, ...)
   step = step + 1
   print(("%2d. " .. format):format(step, ...))
end

local failures = 0
local function check(ok, format, ...)
   if not ok then
      failures = failures + 1
      print("    FAILED: " .. format:format(...))
   end
   return ok
end

local function quote(text)
   return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Milliseconds of processor time that a function takes, and its results.
local function timed(body)
   local start = os.clock()
   local result = body()
   return (os.clock() - start) * 1000, result
end

local function equal(a, b)
   if type(a) ~= "table" or type(b) ~= "table" then
      return a == b and math.type(a) == math.type(b)
   end
   for k, v in pairs(a) do
      if not equal(v, b[k]) then
         return false
      end
   end
   for k in pairs(b) do
      if a[k] == nil then
         return false
      end
   end
   return true
end

-- Starts the child, kills it, and returns the last acknowledged round of each package.
local function write_and_kill(folder, database)
   local interpreter = arg[-1] or "lua5.4"
   local child = assert(io.popen(("echo $$; exec %s %s write %s %s"):format(
      quote(interpreter), quote(arg[0]), quote(folder), quote(database))))
   local pid = assert(math.tointeger(child:read "l"), "the child did not start")
   local acknowledged, count, last = {}, 0, nil
   for line in child:lines "L" do
      -- A line without its end was never finished, so it acknowledges nothing.
      local round, name = line:match "^(%d+) (.*)\n$"
      if round then
         acknowledged[name], last = math.tointeger(round), name
         count = count + 1
      end
      if count == ACKNOWLEDGED_BEFORE_KILL then
         os.execute("kill -9 " .. pid)
      end
   end
   local _, how, signal = child:close()
   local killed = how == "signal" and signal == 9 or signal == 128 + 9
   assert(killed, "the child ended by itself, before it could be killed")
   return acknowledged, count, last
end

local function open(folder)
   local restored
   local store = assert(pkv.open(folder, { on_event = function(event) restored = restored or event end }))
   return store, restored
end

local function check_acknowledged(store, packages, acknowledged)
   local checked, newer = 0, 0
   for name, round in pairs(acknowledged) do
      local found = store[name]
      if check(found, "%s was acknowledged and is gone", name) then
         -- The write that the kill interrupted may have come through, unacknowledged.
         check(found.Round == round or found.Round == round + 1,
            "%s is of round %s, acknowledged was %d", name, found.Round, round)
         newer = newer + (found.Round - round)
         packages[name].Round = found.Round
         check(equal(found, packages[name]), "%s is not what was written", name)
         checked = checked + 1
      end
   end
   check(newer <= 1, "%d writes came through that nobody acknowledged", newer)
   return checked
end

local function look_up(store)
   for _, name in ipairs { "bash", "libc6", "dpkg", "lua5.4" } do
      local package = store[name]
      if package then
         print(("       %-8s %s, %s KiB, %d dependencies"):format(name, package.Version,
            package["Installed-Size"] or "?", #(package.Depends or {})))
      end
   end
end

local function total_size(store)
   local count, size = 0, 0
   for _, package in pairs(store) do
      count = count + 1
      size = size + (package["Installed-Size"] or 0)
   end
   return { count = count, size = size }
end

local function delete_libraries(store)
   local deleted = {}
   for name, package in pairs(store) do
      if package.Section == "libs" then
         store[name] = nil
         deleted[#deleted + 1] = name
      end
   end
   return deleted
end

local function after_the_kill(folder, packages, acknowledged)
   local store <close> = open(folder)
   local stats = pkv.stats(store)
   say("Opened it again in %.1f ms: %d entries.", stats.restore_seconds * 1000, #store)
   local ms, checked = timed(function() return check_acknowledged(store, packages, acknowledged) end)
   say("Looked up all %d acknowledged packages and compared every field: %s (%.1f ms).", checked,
      failures == 0 and "all there, all equal" or failures .. " FAILURES", ms)
   say "Some of them:"
   look_up(store)
   local walk_ms, total = timed(function() return total_size(store) end)
   check(total.count == #store, "iteration saw %d of %d", total.count, #store)
   say("Iterated: %d packages, %.1f MiB installed (%.1f ms).", total.count, total.size / 1024, walk_ms)
   local delete_ms, deleted = timed(function() return delete_libraries(store) end)
   check(#store == total.count - #deleted, "%d left after deleting", #store)
   say("Deleted the section libs, %d packages; %d are left (%.1f ms).", #deleted, #store, delete_ms)
   assert(pkv.snapshot(store))
   stats = pkv.stats(store)
   say("Wrote a snapshot of %d bytes in %.1f ms.", stats.snapshot_bytes, stats.snapshot_seconds * 1000)
   return deleted, #store
end

local function after_the_snapshot(folder, packages, deleted, left)
   local store <close> = open(folder)
   check(#store == left, "%d entries instead of %d", #store, left)
   for _, name in ipairs(deleted) do
      check(store[name] == nil, "%s is back", name)
      packages[name] = nil
   end
   for name, package in pairs(packages) do
      check(equal(store[name], package), "%s is not what was written", name)
   end
   say("Opened it once more, from the snapshot, in %.1f ms: %d entries, the deleted ones stay deleted.",
      pkv.stats(store).restore_seconds * 1000, #store)
end

local function demonstrate(database)
   local packages, names = read_packages(database)
   if not packages then
      io.stderr:write(names, "\nThe demo stores this machine's own package database, and there is none.\n",
         "Give another file of that format: lua5.4 examples/demo.lua FILE\n")
      os.exit(1)
   end
   say("Read %d packages from %s.", #names, database)
   local folder = os.tmpname()
   os.remove(folder)
   local acknowledged, count, last = write_and_kill(folder, database)
   say("A child wrote them to %s, a table of fields per package,", folder)
   print(("    again and again, snapshots alongside; killed with SIGKILL after acknowledging %d writes,")
      :format(count))
   print(("    the last one %s, in round %d."):format(last, acknowledged[last]))
   local deleted, left = after_the_kill(folder, packages, acknowledged)
   after_the_snapshot(folder, packages, deleted, left)
   if failures > 0 then
      print(("%d checks FAILED; the store is left in %s."):format(failures, folder))
      os.exit(1, true)
   end
   os.execute("rm -r " .. quote(folder))
   print "Nothing acknowledged was lost."
end

if arg[1] == "write" then
   write_for_ever(arg[2], arg[3])
else
   demonstrate(arg[1] or DATABASE)
end
