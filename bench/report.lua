-- report.lua RESULTS full|quick [--readme] - prints what the CSV files in the folder come to as Markdown,
-- and writes it to report.md there, with plots beside it. --readme puts the short form of it into
-- README.md.
local figures = require "figures"
local plan = require "plan"
local plots = require "plots"
local take_part = require "peers"
local targets = require "targets"

local results, kind = arg[1], arg[2]
local here = arg[0]:match "^(.*)/"

local function read_file(path)
   local file <close> = io.open(path)
   return file and file:read "a" or ""
end

local function line(cells)
   return "| " .. table.concat(cells, " | ") .. " |\n"
end

-- A table in Markdown; the columns from the second on hold numbers.
local function make_table(head, body)
   local rule = { "---" }
   for i = 2, #head do
      rule[i] = "---:"
   end
   local lines = { line(head), line(rule) }
   for _, cells in ipairs(body) do
      table.insert(lines, line(cells))
   end
   return table.concat(lines)
end

-- "median (least–most)"
local function show_spread(numbers, factor)
   local middle, least, most, count = figures.spread(numbers)
   if not middle then
      return "–"
   end
   factor = factor or 1
   if count == 1 then
      return figures.show(middle * factor)
   end
   return string.format(
      "%s (%s–%s)",
      figures.show(middle * factor),
      figures.show(least * factor),
      figures.show(most * factor)
   )
end

-- ---- Scenarios

local function column_head(column)
   local step, measure = column:match "^(%S+) (%S+)$"
   return (measure == "ns" or measure == "seconds") and step or step .. " " .. measure:gsub("_", " ")
end

-- A row for each peer that has a figure; nil if none has.
local function scenario_table(scenario, columns, work)
   local head, body = { columns[1] }, {}
   for i = 2, #columns do
      head[i] = column_head(columns[i])
   end
   for _, peer in ipairs(scenario.lua and take_part.lua_peers or take_part.peers) do
      local cells, found = { peer.name }, false
      for i = 2, #columns do
         local step, measure = columns[i]:match "^(%S+) (%S+)$"
         local fields = { scenario = scenario.id, peer = peer.id, step = step, measure = measure }
         for name, value in pairs(work) do
            fields[name] = value
         end
         cells[i] = show_spread(figures.select(fields))
         found = found or cells[i] ~= "–"
      end
      if found then
         table.insert(body, cells)
      end
   end
   return #body > 0 and make_table(head, body) or nil
end

local function describe(scenario, work)
   local date, runs = figures.values(scenario.id, "date"), #figures.values(scenario.id, "run")
   return string.format(
      "%s: class %s, %.0f entries of %d + %d bytes, %d thread%s; %s.\n",
      date[#date],
      scenario.class,
      figures.values(scenario.id, "entries")[1],
      work.key,
      work.value,
      work.threads,
      work.threads == 1 and "" or "s",
      runs == 1 and "one run" or string.format("median of %d runs (least–most)", runs)
   )
end

local function scenario_part(scenario)
   local parts = { "## " .. scenario.title .. "\n" }
   for _, threads in ipairs(figures.values(scenario.id, "threads")) do
      for _, size in ipairs(scenario.sizes or { { 16, 100 } }) do
         local work = { threads = threads, key = size[1], value = size[2] }
         local before = #parts
         for _, columns in ipairs(scenario.tables) do
            table.insert(parts, scenario_table(scenario, columns, work))
         end
         if #parts > before then
            table.insert(parts, before + 1, describe(scenario, work))
         end
      end
   end
   return #parts > 1 and table.concat(parts, "\n") or nil
end

-- ---- Figures to reach

-- Whether it is reached, and the cells that say so; nil where it was not measured.
local function judge(target)
   local numbers = figures.select(target.of)
   if target.by then
      numbers = figures.ratio(numbers, figures.select(target.by))
   end
   local factor = target.factor or 1
   local middle = figures.spread(numbers)
   if not middle then
      return nil
   end
   local excuse = target.excuse and figures.spread(figures.select(target.excuse))
   local most = math.max(target.most or 0, excuse and excuse * factor or 0)
   local reached = target.least and middle * factor >= target.least or target.most and middle * factor <= most
   local wanted = string.format("%s %g%s", target.least and "≥" or "≤", target.least or target.most, target.unit)
   if excuse then
      wanted = string.format("%s (the machine: %s)", wanted, figures.show(excuse * factor))
   end
   local seen = show_spread(numbers, factor)
   return { target.what, target.against, seen .. target.unit, wanted, reached and "yes" or "**no**" }
end

local function targets_part()
   local body, reached = {}, 0
   for _, target in ipairs(targets) do
      local cells = judge(target)
      if cells then
         table.insert(body, cells)
         reached = reached + (cells[5] == "yes" and 1 or 0)
      end
   end
   if #body == 0 then
      return nil
   end
   return string.format("## Figures to reach\n\n%d of %d are reached.\n\n", reached, #body)
      .. make_table({ "what", "against", "measured", "wanted", "reached" }, body)
end

-- ---- The report

local function settings_part()
   local body = {}
   local settings = figures.read_settings(results)
   for what, text in pairs(settings) do
      local peer, class = what:match "^(%S+) (%S+)$"
      table.insert(body, { peer, class, text })
   end
   table.sort(body, function(a, b)
      return a[1] .. a[2] < b[1] .. b[2]
   end)
   local lines = { "## Settings\n\n", line { "store", "class", "set up" }, line { "---", "---", "---" } }
   for _, cells in ipairs(body) do
      table.insert(lines, line(cells))
   end
   return table.concat(lines)
end

for _, scenario in ipairs(plan[kind]) do
   figures.read(results, scenario.id)
end
local about = read_file(results .. "/about.md")
local parts = { "# Benchmark\n", about, targets_part() }
for _, scenario in ipairs(plan[kind]) do
   table.insert(parts, scenario_part(scenario))
end
table.insert(parts, settings_part())
local report = table.concat(parts, "\n")
figures.write_file(results .. "/report.md", report)
plots.draw(results)
io.write(report)

-- Puts the short form between the README's two marks.
local function fill_readme()
   local path = here .. "/README.md"
   local before, after = read_file(path):match "^(.*<!%-%- results %-%->\n).*(<!%-%- end of results %-%->.*)$"
   assert(before, "the README has lost its marks")
   local shown = { about, targets_part() }
   for _, scenario in ipairs(plan[kind]) do
      if scenario.id == "core" then
         table.insert(shown, scenario_part(scenario))
      end
   end
   for _, plot in ipairs(plots.names) do
      local drawn = io.open(results .. "/" .. plot .. ".svg")
      if drawn then -- what it shows was measured
         drawn:close()
         table.insert(shown, string.format("![%s](results/%s.svg)\n", plot, plot))
      end
   end
   table.insert(shown, settings_part())
   figures.write_file(path, before .. "\n" .. table.concat(shown, "\n"):gsub("\n## ", "\n### ") .. "\n" .. after)
end

if arg[3] == "--readme" then
   fill_readme()
end
