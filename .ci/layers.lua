-- layers.lua FILE... - checks what each C file includes, and how long it is.
--
-- Who may include whom (besides its own folder, and the system's headers):
local ALLOWED = {
   ["src"] = { "src", "src/bytes", "src/os", "src/memory", "src/disk" }, -- the hall: both wings
   ["src/memory"] = { "src/bytes", "src/os", "src/pkv.h" },
   ["src/disk"] = { "src/bytes", "src/os", "src/pkv.h" },
   ["src/os"] = { "src/bytes", "src/pkv.h" },
   ["src/bytes"] = { "src/os", "src/pkv.h" },
   ["src/lua"] = { "src/pkv.h" },
   ["src/cli"] = { "src/pkv.h" },
}
local LINES_MAX = 600

local failed = false
local function complain(...)
   failed = true
   io.stderr:write(string.format(...), "\n")
end

local function folder_of(path)
   return path:match "^(.*)/[^/]*$"
end

-- "src/disk/../os/os.h" is "src/os/os.h".
local function normalize(path)
   local parts = {}
   for part in path:gmatch "[^/]+" do
      if part == ".." then
         parts[#parts] = nil
      elseif part ~= "." then
         parts[#parts + 1] = part
      end
   end
   return table.concat(parts, "/")
end

local function is_allowed(folder, included)
   local target = folder_of(included)
   if target == folder then
      return true
   end
   for _, place in ipairs(ALLOWED[folder]) do
      if place == target or place == included then
         return true
      end
   end
   return false
end

local function check_include(path, number, name)
   local folder = folder_of(path)
   local included = normalize(folder .. "/" .. name)
   if ALLOWED[folder] and not is_allowed(folder, included) then
      complain("%s:%d: %s/ must not include %s", path, number, folder, included)
   end
end

local function check_file(path)
   local number = 0
   for line in io.lines(path) do
      number = number + 1
      local name = line:match '^%s*#%s*include%s*"([^"]+)"'
      if name then
         check_include(path, number, name)
      end
   end
   if number > LINES_MAX then
      complain("%s: %d lines; split it, %d is the most", path, number, LINES_MAX)
   end
end

for _, path in ipairs(arg) do
   check_file(path)
end
os.exit(not failed)
