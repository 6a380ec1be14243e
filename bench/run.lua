-- run.lua BUILD full|quick - runs the plan, the peers taking turns within each run, and writes a CSV file
-- for each scenario into bench/results. See README.md for the variables that choose.
local figures = require "figures"
local plan = require "plan"
local take_part = require "peers"

local build, kind = arg[1], arg[2]
local here = arg[0]:match "^(.*)/"
local place = os.getenv "BENCH_DIR" or build .. "/bench/data"
local folder, saved = place .. "/store", place .. "/saved"
local results = here .. "/results" .. (kind == "full" and "" or "/" .. kind)
local runs = tonumber(os.getenv "BENCH_RUNS" or 5)
local scale = tonumber(os.getenv "BENCH_SCALE" or 1)
local missing = os.getenv "BENCH_MISSING" or ""
local LIMIT_SECONDS = 1800

local date = os.date "%Y-%m-%d"
local failures = {}

local function quote(text)
   return "'" .. tostring(text):gsub("'", [['\'']]) .. "'"
end

local function execute(command)
   assert(os.execute(command), command)
end

local function first_line(command)
   local pipe <close> = assert(io.popen(command .. " 2>/dev/null"))
   return pipe:read "l" or "unknown"
end

-- "core, latency" as a set; nil for all.
local function chosen(variable)
   local set
   for word in (os.getenv(variable) or ""):gmatch "[%w_]+" do
      set = set or {}
      set[word] = true
   end
   return set
end

local only_scenarios, only_peers = chosen "BENCH_ONLY", chosen "BENCH_PEERS"

local function contains(list, wanted)
   for _, item in ipairs(list or {}) do
      if item == wanted then
         return true
      end
   end
   return false
end

local function takes_part(scenario, peer)
   return contains(peer.classes, scenario.class)
      and (not only_peers or only_peers[peer.id])
      and (not scenario.only or contains(scenario.only, peer.id))
      and not contains(scenario.without, peer.id)
      and not (scenario.fast and peer.slow)
      and not (peer.cargo and missing ~= "")
end

-- ---- Processes

local function can_drop_caches()
   local file = io.open("/proc/sys/vm/drop_caches", "w")
   return file ~= nil and file:close()
end

local function drop_caches()
   execute "sync && echo 3 > /proc/sys/vm/drop_caches"
end

-- Runs a command and keeps what it prints; `work` says which row of the CSV it is for.
local function run_process(words, work, phase)
   for i, word in ipairs(words) do
      words[i] = quote(word)
   end
   execute "sync" -- what the process before left to write is not this one's
   if phase.cold then
      drop_caches()
   end
   local command = string.format("exec timeout %d %s", LIMIT_SECONDS, table.concat(words, " "))
   local pipe = assert(io.popen(command))
   for line in pipe:lines() do
      local step, measure, number = line:match "^(%S+) (%S+) (%S+)$"
      if line:match "^settings " then
         figures.add_settings(work.lua and "lua/" .. work.peer or work.peer, work.class, line:match "^settings (.*)$")
      elseif step and not phase.silent then
         figures.add(work, (phase.label and phase.label .. ":" or "") .. step, measure, tonumber(number))
      end
   end
   local _, how, code = pipe:close()
   if code ~= (phase.died and 9 or 0) or how ~= (phase.died and "signal" or "exit") then
      table.insert(failures, string.format("%s of %s: %s", work.scenario, work.peer, command))
      io.stderr:write("make bench: failed: ", command, "\n")
      return false
   end
   return true
end

local function new_folder()
   execute(string.format("rm -rf %s && mkdir -p %s", quote(folder), quote(folder)))
end

local function phase_command(scenario, peer, work, phase)
   local words = {
      build .. "/bench/" .. (peer.program or peer.id),
      "folder=" .. folder,
      "class=" .. work.class,
      "entries=" .. work.entries,
      "key=" .. work.key,
      "value=" .. work.value,
      "threads=" .. work.threads,
      "snapshots=" .. (phase.snapshots or peer.snapshots or "default"),
      "seconds=" .. (scenario.seconds or 600),
   }
   for step in phase.steps:gmatch "%S+" do
      table.insert(words, step)
   end
   return words
end

local function run_phases(scenario, peer, work)
   local several = #scenario.phases > 1
   new_folder()
   for i, phase in ipairs(scenario.phases) do
      if several and i > 1 then
         execute(string.format("rm -rf %s && cp -a %s %s", quote(folder), quote(saved), quote(folder)))
      end
      if not phase.cold or can_drop_caches() then
         phase.silent = several and i == 1
         if not run_process(phase_command(scenario, peer, work, phase), work, phase) then
            break
         end
      end
      if several and i == 1 then
         execute(string.format("rm -rf %s && mv %s %s", quote(saved), quote(folder), quote(saved)))
      end
   end
   execute(string.format("rm -rf %s %s", quote(folder), quote(saved)))
end

local function run_lua(scenario, peer, work)
   new_folder()
   local program = peer.nginx and { here .. "/lua/nginx" } or { arg[-1], here .. "/lua/driver.lua" }
   for _, word in ipairs { peer.id, work.class, folder, work.entries, scenario.seconds } do
      table.insert(program, word)
   end
   run_process(program, work, {})
   execute("rm -rf " .. quote(folder))
end

-- ---- Runs

-- The peers of a scenario; each run begins with another.
local function turns(scenario, run)
   local peers, turned = {}, {}
   for _, peer in ipairs(scenario.lua and take_part.lua_peers or take_part.peers) do
      if takes_part(scenario, peer) then
         table.insert(peers, peer)
      end
   end
   for i = 1, #peers do
      turned[i] = peers[(i + run - 2) % #peers + 1]
   end
   return turned
end

local function list(value, default)
   return type(value) == "table" and value or { value or default }
end

local function run_scenario(scenario, run)
   io.stderr:write(string.format("run %d of %d: %s\n", run, scenario.runs or runs, scenario.id))
   for _, threads in ipairs(list(scenario.threads, 1)) do
      for _, size in ipairs(scenario.sizes or { { 16, 100 } }) do
         for _, peer in ipairs(turns(scenario, run)) do
            local work = {
               date = date,
               scenario = scenario.id,
               lua = scenario.lua,
               run = run,
               peer = peer.id,
               class = scenario.class,
               entries = math.max(1000, math.floor(scenario.entries * scale)),
               key = size[1],
               value = size[2],
               threads = threads,
            }
            (scenario.lua and run_lua or run_phases)(scenario, peer, work)
         end
      end
   end
end

local function run_all(scenarios)
   for run = 1, runs do
      for _, scenario in ipairs(scenarios) do
         if run <= (scenario.runs or runs) then
            run_scenario(scenario, run)
            figures.write(results, scenario.id) -- so that an end before the end loses little
         end
      end
   end
   execute("rm -rf " .. quote(place))
end

local function machine()
   return string.format(
      "%s cores, %s, %s GiB of memory, Linux %s, %s; load average before the run %s.\n",
      first_line "nproc",
      first_line "sed -n 's/^model name[^:]*: //p' /proc/cpuinfo",
      first_line "awk '/^MemTotal/ { printf \"%.0f\", $2 / 1048576 }' /proc/meminfo",
      first_line "uname -r",
      first_line("df --output=fstype " .. quote(place) .. " | tail -n 1"),
      first_line "cut -d ' ' -f 1 /proc/loadavg"
   )
end

execute(string.format("mkdir -p %s %s", quote(place), quote(results)))
figures.read_settings(results)
local about = { machine() }
if missing ~= "" then
   table.insert(about, "Without the crate: " .. missing .. ".\n")
   io.stderr:write("make bench: without the crate: ", missing, "\n")
end
if not can_drop_caches() then
   table.insert(about, "Without cold figures: only root can drop the page cache.\n")
end
if scale ~= 1 then
   table.insert(about, string.format("With %g times the entries that the plan has.\n", scale))
end
local scenarios = {}
for _, scenario in ipairs(plan[kind]) do
   if not only_scenarios or only_scenarios[scenario.id] then
      table.insert(scenarios, scenario)
   end
end
run_all(scenarios)
for _, failure in ipairs(failures) do
   table.insert(about, "Failed: " .. failure .. ".\n")
end
figures.write_file(results .. "/about.md", table.concat(about, "\n"))
figures.write_settings(results)
os.exit(#failures == 0)
