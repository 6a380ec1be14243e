-- plots.lua - draws figures with gnuplot, as SVG.
local figures = require "figures"
local take_part = require "peers"

local plots = { names = { "operations", "latency", "memory", "threads" } }

local HEAD = [[
set terminal svg size 900,420 font "sans-serif,12" background "white"
set output '%s/%s.svg'
set title "%s"
set ylabel "%s"
set grid ytics
set key outside right
]]

local function median(scenario, peer, step, measure, threads)
   return (
      figures.spread(figures.select {
         scenario = scenario,
         peer = peer,
         step = step,
         measure = measure,
         threads = threads or 1,
         key = 16,
         value = 100,
      })
   )
end

-- Rows "label" number ...; a number that is missing is a question mark. Peers without any are left out.
-- Also, the columns that have numbers.
local function rows_of(columns, number_of)
   local rows, filled = {}, {}
   for _, peer in ipairs(take_part.peers) do
      local cells, found = { string.format('"%s"', peer.name) }, false
      for i, column in ipairs(columns) do
         local number = number_of(peer.id, column)
         cells[i + 1] = number and string.format("%.6g", number) or "?"
         found = found or number
         filled[column] = filled[column] or number ~= nil
      end
      if found then
         table.insert(rows, table.concat(cells, " "))
      end
   end
   return rows, filled
end

local function gnuplot(script)
   local pipe = assert(io.popen("gnuplot", "w"))
   pipe:write(script)
   return pipe:close()
end

local function data(rows)
   return "$data << END\n" .. table.concat(rows, "\n") .. "\nEND\n"
end

-- A group of bars for each peer.
local function bars(folder, name, title, label, columns, number_of, scale)
   local rows, filled = rows_of(columns, number_of)
   if #rows == 0 then
      return
   end
   local series = {}
   for i, column in ipairs(columns) do
      if filled[column] then
         table.insert(series, string.format('$data using %d:xtic(1) title "%s"', i + 1, column))
      end
   end
   gnuplot(
      string.format(HEAD, folder, name, title, label)
         .. 'set datafile missing "?"\nset style data histograms\nset style fill solid 0.8\n'
         .. "set xtics rotate by -30\n"
         .. (scale or "set yrange [0:*]\n")
         .. data(rows)
         .. "plot "
         .. table.concat(series, ", ")
         .. "\n"
   )
end

-- A line for each peer, over the columns.
local function lines(folder, name, title, label, columns, number_of, scale)
   local rows = rows_of(columns, number_of)
   if #rows == 0 then
      return
   end
   local ticks, blocks, series = {}, {}, {}
   for i, column in ipairs(columns) do
      ticks[i] = string.format('"%s" %d', column, i)
   end
   for number, row in ipairs(rows) do
      local title_of, rest = row:match '^(".-") (.*)$'
      local points, i = {}, 0
      for cell in rest:gmatch "%S+" do
         i = i + 1
         points[i] = i .. " " .. cell
      end
      blocks[number] = string.format("$d%d << END\n%s\nEND\n", number, table.concat(points, "\n"))
      local width = number == 1 and 3 or 1
      series[number] = string.format("$d%d using 1:2 with linespoints lw %d title %s", number, width, title_of)
   end
   gnuplot(
      string.format(HEAD, folder, name, title, label)
         .. 'set datafile missing "?"\n'
         .. string.format("set xtics (%s)\nset xrange [0.8:%d.2]\n", table.concat(ticks, ", "), #columns)
         .. (scale or "set yrange [0:*]\n")
         .. table.concat(blocks)
         .. "plot "
         .. table.concat(series, ", ")
         .. "\n"
   )
end

local LOGARITHMIC = "set logscale y\n"

function plots.draw(folder)
   local work = "one million entries of 16 + 100 bytes, D1"
   bars(
      folder,
      "operations",
      "One operation, one thread: " .. work,
      "ns",
      { "load", "get", "update" },
      function(peer, step)
         return median("core", peer, step, "ns")
      end,
      LOGARITHMIC
   )
   lines(
      folder,
      "latency",
      "How long an update takes: " .. work,
      "ns",
      { "p50", "p99", "p99.9", "p99.99", "max" },
      function(peer, quantile)
         return median("latency", peer, "latency:update", quantile)
      end,
      LOGARITHMIC
   )
   bars(folder, "memory", "Memory: " .. work, "bytes per entry", { "loaded", "churned" }, function(peer, when)
      if when == "churned" then
         return median("churn", peer, "memory:churn", "per_entry")
      end
      return median("core", peer, "memory:load", "per_entry")
   end)
   lines(
      folder,
      "threads",
      "YCSB A with Zipf's distribution: " .. work,
      "million operations a second",
      { "1 thread", "2 threads", "8 threads" },
      function(peer, threads)
         local ns = median("core", peer, "a:zipf", "ns", tonumber(threads:match "%d+"))
         return ns and 1000 / ns
      end
   )
end

return plots
