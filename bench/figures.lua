-- figures.lua - all that was measured: kept, written to CSV files and read back, and what it comes to.
local figures = {}

-- `run` pairs figures that were taken in turn; the rest says what the number is of.
local COLUMNS = {
   "date",
   "scenario",
   "run",
   "peer",
   "class",
   "entries",
   "key",
   "value",
   "threads",
   "step",
   "measure",
   "number",
}

local rows, settings = {}, {}
local index = {} -- of rows, by what each question names

function figures.write_file(path, text)
   local file <close> = assert(io.open(path, "w"))
   assert(file:write(text))
end

local function place_of(fields)
   return table.concat({ fields.scenario, fields.peer, fields.step, fields.measure }, " ")
end

local function insert(row)
   local place = place_of(row)
   index[place] = index[place] or {}
   table.insert(index[place], row)
   table.insert(rows, row)
end

function figures.add(work, step, measure, number)
   local row = { step = step, measure = measure, number = number }
   for name, value in pairs(work) do
      row[name] = value
   end
   insert(row)
end

function figures.write(folder, scenario)
   local lines = { table.concat(COLUMNS, ",") }
   for _, row in ipairs(rows) do
      if row.scenario == scenario then
         local cells = {}
         for i, name in ipairs(COLUMNS) do
            cells[i] = tostring(row[name])
         end
         table.insert(lines, table.concat(cells, ","))
      end
   end
   figures.write_file(folder .. "/" .. scenario .. ".csv", table.concat(lines, "\n") .. "\n")
end

-- Adds what a file has; nothing where there is no file.
function figures.read(folder, scenario)
   local file <close> = io.open(folder .. "/" .. scenario .. ".csv")
   if not file then
      return
   end
   file:read "l"
   for line in file:lines() do
      local row, i = {}, 0
      for cell in line:gmatch "[^,]+" do
         i = i + 1
         row[COLUMNS[i]] = tonumber(cell) or cell
      end
      insert(row)
   end
end

-- ---- How each peer was set up

function figures.add_settings(peer, class, text)
   settings[peer .. " " .. class] = text
end

function figures.read_settings(folder)
   local file <close> = io.open(folder .. "/settings.txt")
   for line in file and file:lines() or function() end do
      local peer, class, text = line:match "^(%S+) (%S+) (.*)$"
      figures.add_settings(peer, class, text)
   end
   return settings
end

function figures.write_settings(folder)
   local lines = {}
   for what, text in pairs(settings) do
      table.insert(lines, what .. " " .. text .. "\n")
   end
   table.sort(lines)
   figures.write_file(folder .. "/settings.txt", table.concat(lines))
end

-- ---- What it comes to

-- The numbers of all rows that have these fields, by run. Scenario, peer, step and measure must be
-- among the fields.
function figures.select(fields)
   local found = {}
   for _, row in ipairs(index[place_of(fields)] or {}) do
      local matches = true
      for name, value in pairs(fields) do
         matches = matches and row[name] == value
      end
      if matches then
         found[row.run] = row.number
      end
   end
   return found
end

-- Run by run: one divided by the other.
function figures.ratio(numerators, denominators)
   local ratios = {}
   for run, number in pairs(numerators) do
      if denominators[run] and denominators[run] ~= 0 then
         ratios[run] = number / denominators[run]
      end
   end
   return ratios
end

-- Median, least, most, and how many there are; nil where there are none.
function figures.spread(numbers)
   local list = {}
   for _, number in pairs(numbers) do
      table.insert(list, number)
   end
   if #list == 0 then
      return nil
   end
   table.sort(list)
   local middle = (list[(#list + 1) // 2] + list[#list // 2 + 1]) / 2
   return middle, list[1], list[#list], #list
end

-- The different values of a field in rows of a scenario, in order of appearance or of size.
function figures.values(scenario, field)
   local seen, list = {}, {}
   for _, row in ipairs(rows) do
      if row.scenario == scenario and not seen[row[field]] then
         seen[row[field]] = true
         table.insert(list, row[field])
      end
   end
   table.sort(list)
   return list
end

-- Three digits that mean something.
function figures.show(number)
   local size = math.abs(number)
   return string.format(size >= 100 and "%.0f" or size >= 10 and "%.1f" or "%.2f", number)
end

return figures
