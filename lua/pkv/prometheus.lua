--- The figures of stores as Prometheus reads them, in its text format (text/plain; version=0.0.4).
local pkv = require "pkv"

-- Field of pkv.stats, type, help. The metric is pkv_ and the field, with _total behind a counter.
local METRICS = {
   { "entries", "gauge", "Entries in the store." },
   { "key_bytes", "gauge", "Bytes of all keys." },
   { "value_bytes", "gauge", "Bytes of all values." },
   { "memory_bytes", "gauge", "Memory of the table, index and waste included." },
   { "memory_free_bytes", "gauge", "Of the memory of the table, what is free for reuse." },
   { "wal_bytes", "gauge", "Log that a restart would replay." },
   { "wal_written_bytes", "counter", "Log written since the store was opened." },
   { "flushes", "counter", "Flushes of the log since the store was opened." },
   { "snapshots", "counter", "Snapshots published since the store was opened." },
   { "snapshot_failures", "counter", "Snapshots that failed since the store was opened." },
   { "snapshot_running", "gauge", "1 while a snapshot is being written." },
   { "snapshot_ordinal", "gauge", "Ordinal of the newest snapshot; 0: there is none." },
   { "snapshot_bytes", "gauge", "Size of the newest snapshot." },
   { "snapshot_seconds", "gauge", "How long the latest snapshot took." },
   { "restore_seconds", "gauge", "How long the restore took when the store was opened." },
   { "restored_entries", "gauge", "Records read when the store was opened." },
   { "cut_bytes", "gauge", "Torn end of the log that was cut off when the store was opened." },
   { "read_only", "gauge", "1 if a flush has failed and nothing can be written." },
   { "memory_shards", "gauge", "Parts of the table." },
   { "wal_shards", "gauge", "Files that the log is spread over." },
}

-- How the store is opened, as labels of pkv_info. Programs have other labels.
local INFO = { "keys", "values", "sync", "wal_io" }
local RESERVED = { version = true, keys = true, values = true, sync = true, wal_io = true }

local ESCAPES = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }

local function label(name, value)
   return ('%s="%s"'):format(name, (tostring(value):gsub('[\\"\n]', ESCAPES)))
end

--- The labels as they stand in a line, sorted by their names. Misuse is an error of the caller's caller.
local function labels_text(labels)
   local list = {}
   for name, value in pairs(labels) do
      if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" or name:find "^__" or RESERVED[name] then
         error(("%s cannot be the name of a label"):format(tostring(name)), 4)
      end
      if type(value) ~= "string" and type(value) ~= "number" then
         error(("label '%s' must be a string, got a %s"):format(name, type(value)), 4)
      end
      list[#list + 1] = label(name, value)
   end
   table.sort(list)
   return table.concat(list, ",")
end

--- Of stores and their labels, in turns: the list of what is to be told; or nil, message, code.
local function scrape(...)
   local scraped, seen = {}, {}
   for i = 1, select("#", ...), 2 do
      local store, labels = select(i, ...)
      if not pkv.is_store(store) then error(("argument %d must be a store"):format(i), 3) end
      if labels ~= nil and type(labels) ~= "table" then
         error(("argument %d must be a table of labels, got a %s"):format(i + 1, type(labels)), 3)
      end
      local text = labels_text(labels or {})
      if seen[text] then error("two stores must differ in their labels", 3) end
      seen[text] = true
      local sound, stats, message, code = pcall(pkv.stats, store)
      if not sound then error(stats, 3) end
      if not stats then return nil, message, code end
      scraped[#scraped + 1] = { stats = stats, labels = text }
   end
   return scraped
end

--- Whatever the locale has for a decimal point.
local function number_text(number)
   if type(number) == "boolean" then return number and "1" or "0" end
   return ((number % 1 == 0 and "%.0f" or "%.9f"):format(number):gsub(",", "."))
end

local function info_text(entry)
   local list = { label("version", pkv.version) }
   for _, name in ipairs(INFO) do list[#list + 1] = label(name, entry.stats[name]) end
   if entry.labels ~= "" then list[#list + 1] = entry.labels end
   return ("pkv_info{%s} 1"):format(table.concat(list, ","))
end

---The figures of one store, or of several with their labels in turns, as text.
---@param store pkv.Store
---@param labels? table<string, string | number>
---@param ... pkv.Store | table<string, string | number>
---@return string? text
---@return string? message
---@return pkv.Code? code
local function prometheus(store, labels, ...)
   local scraped, message, code = scrape(store, labels, ...)
   if not scraped then return nil, message, code end
   local lines = {}
   local function add(...) lines[#lines + 1] = (...):format(select(2, ...)) end

   add "# HELP pkv_info How the store is opened."
   add "# TYPE pkv_info gauge"
   for _, entry in ipairs(scraped) do lines[#lines + 1] = info_text(entry) end
   for _, metric in ipairs(METRICS) do
      local field, kind, help = metric[1], metric[2], metric[3]
      local name = "pkv_" .. field .. (kind == "counter" and "_total" or "")
      add("# HELP %s %s", name, help)
      add("# TYPE %s %s", name, kind)
      for _, entry in ipairs(scraped) do
         local braces = entry.labels ~= "" and "{" .. entry.labels .. "}" or ""
         add("%s%s %s", name, braces, number_text(entry.stats[field]))
      end
   end
   lines[#lines + 1] = ""
   return table.concat(lines, "\n")
end

return prometheus
