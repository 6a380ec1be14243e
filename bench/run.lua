-- run.lua BUILD HERE [--readme] [--save] - runs every peer's processes in turn and prints the tables.
-- bench/run has built the peers and says in BENCH_MISSING why the crate is not among them.
local take_part = require "peers"

local build, here = arg[1], arg[2]
local runs = math.tointeger(tonumber(os.getenv "BENCH_RUNS" or 5))
local entries = math.tointeger(tonumber(os.getenv "BENCH_ENTRIES" or 1000000))
local missing = os.getenv "BENCH_MISSING" or ""
local place = os.getenv "BENCH_DIR" or build .. "/bench/data"
local folder = place .. "/pkv-bench"

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

-- ---- Running

local results = {} -- results["pkv.work.set"]: a list with a number for each run

-- Runs a process, which prints lines "measure number".
local function run_process(peer, scenario, ...)
   local words = { ... }
   for i, word in ipairs(words) do
      words[i] = quote(word)
   end
   execute "sync" -- what the process before left to write is not this one's
   local command = table.concat(words, " ")
   local pipe = assert(io.popen(command))
   for line in pipe:lines() do
      local measure, number = line:match "^(%S+) (%S+)$"
      local key = table.concat({ peer.id, scenario.id, measure }, ".")
      results[key] = results[key] or {}
      table.insert(results[key], tonumber(number))
   end
   assert(pipe:close(), command)
end

local function new_folder()
   execute("rm -rf " .. quote(folder) .. " && mkdir -p " .. quote(folder))
end

local function run_scenario(scenario, peer)
   new_folder()
   for _, phase in ipairs(scenario.phases) do
      local program = build .. "/bench/" .. peer.program
      local interval = scenario.interval or peer.interval
      run_process(peer, scenario, program, phase, folder, entries, scenario.threads or 1, interval)
   end
end

local function run_all(peers)
   for run = 1, runs do
      for _, scenario in ipairs(take_part.scenarios(entries)) do
         io.stderr:write(string.format("run %d of %d: %s\n", run, runs, scenario.id))
         for _, peer in ipairs(peers) do
            if not scenario.peers or scenario.peers[peer.id] then
               run_scenario(scenario, peer)
            end
         end
      end
      for _, peer in ipairs(take_part.lua_peers) do
         new_folder()
         run_process(peer, { id = "lua" }, arg[-1], here .. "/lua.lua", peer.id, folder, entries)
      end
   end
   execute("rm -rf " .. quote(folder))
end

-- ---- Reporting

local function spread(peer, row)
   local list = results[table.concat({ peer.id, row[3], row[4] }, ".")]
   if not list then
      return nil
   end
   list = table.move(list, 1, #list, 1, {})
   table.sort(list)
   local middle = (list[(#list + 1) // 2] + list[#list // 2 + 1]) / 2
   return middle, list[1], list[#list]
end

-- Three digits that mean something.
local function show(number)
   local size = math.abs(number)
   return string.format(size >= 100 and "%.0f" or size >= 10 and "%.1f" or "%.2f", number)
end

local function cell(peer, row)
   local middle, least, most = spread(peer, row)
   if not middle then
      return "–"
   end
   local factor = row.factor or 1
   return string.format("%s (%s–%s)", show(middle * factor), show(least * factor), show(most * factor))
end

-- How many times better the first peer is than the other.
local function ratio(first, other, row)
   local ours, theirs = spread(first, row), spread(other, row)
   if not row.better or not ours or not theirs then
      return "–"
   end
   ours, theirs = ours + (row.base or 0), theirs + (row.base or 0)
   if ours == 0 or theirs == 0 then
      return "–" -- tmpfs has no bytes written
   end
   return show(row.better == "more" and ours / theirs or theirs / ours) .. "×"
end

local function line(cells)
   return "| " .. table.concat(cells, " | ") .. " |\n"
end

local function make_table(rows, peers, with_ratios)
   local head, rule, lines = { "", "unit" }, { "---", "---" }, {}
   local function column(name)
      table.insert(head, name)
      table.insert(rule, "---:")
   end
   for _, peer in ipairs(peers) do
      column(peer.name)
   end
   for i = 2, with_ratios and #peers or 0 do
      column(peers[1].name .. " against " .. peers[i].name)
   end
   for _, row in ipairs(rows) do
      local cells = { row[1], row[2] }
      for _, peer in ipairs(peers) do
         table.insert(cells, cell(peer, row))
      end
      for i = 2, with_ratios and #peers or 0 do
         table.insert(cells, ratio(peers[1], peers[i], row))
      end
      table.insert(lines, line(cells))
   end
   return line(head) .. line(rule) .. table.concat(lines)
end

local function machine()
   return string.format(
      "%s: %d entries of 16 + 100 bytes, median of %d runs (least–most). %s cores, %s, Linux %s, %s.\n",
      os.date "%Y-%m-%d",
      entries,
      runs,
      first_line "nproc",
      first_line "sed -n 's/^model name[^:]*: //p' /proc/cpuinfo",
      first_line "uname -r",
      first_line("df --output=fstype " .. quote(place) .. " | tail -n 1")
   )
end

local function make_report(peers)
   local parts = { machine() }
   if missing ~= "" then
      table.insert(parts, "Without the crate: " .. missing .. ".\n")
   end
   table.insert(parts, make_table(take_part.rows, peers, true))
   table.insert(parts, "In Lua:\n")
   table.insert(parts, make_table(take_part.lua_rows, take_part.lua_peers, false))
   return table.concat(parts, "\n")
end

local function read_file(path)
   local file <close> = assert(io.open(path))
   return file:read "a"
end

local function write_file(path, text)
   local file <close> = assert(io.open(path, "w"))
   assert(file:write(text))
end

-- Puts the report between the README's two marks.
local function fill_readme(report)
   local path = here .. "/README.md"
   local before, after = read_file(path):match "^(.*<!%-%- results %-%->\n).*(<!%-%- end of results %-%->.*)$"
   assert(before, "the README has lost its marks")
   write_file(path, before .. "\n" .. report .. "\n" .. after)
end

-- ---- The program

local peers = {}
for _, peer in ipairs(take_part.peers) do
   if missing == "" or not peer.crate then
      table.insert(peers, peer)
   end
end
if missing ~= "" then
   io.stderr:write("make bench: ", missing, ": these are our figures alone\n")
end
run_all(peers)
local report = make_report(peers)
io.write(report)
for i = 3, #arg do
   if arg[i] == "--readme" then
      fill_readme(report)
   elseif arg[i] == "--save" then
      execute("mkdir -p " .. quote(here .. "/results"))
      write_file(here .. "/results/" .. os.date "%Y-%m-%d" .. ".md", report)
   else
      error("no such flag: " .. arg[i])
   end
end
