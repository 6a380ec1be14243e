--- What specs share: folders that vanish, child processes, comparing files and values.
local lfs = require "lfs"
local compat = require "spec.support.compat"
local pairs = compat.pairs

local helper = {}

--- Of moments and samples that there are thousands of, how many-th are tried: PKV_STRIDE in the
-- environment, for a Lua that is slow.
helper.stride = tonumber(os.getenv "PKV_STRIDE") or 1

--- The interpreter that runs this: before its options, which are before the script.
local function own_interpreter()
   local first = -1
   while arg[first - 1] do first = first - 1 end
   return arg[first]
end

local interpreter = os.getenv("LUA") or own_interpreter()
local made = {}

local function folder_in(parent)
   local name = os.tmpname()
   os.remove(name)
   local path = parent and parent .. "/" .. name:match("[^/]*$") or name
   if not lfs.mkdir(path) then return nil end
   made[#made + 1] = path
   return path .. "/store"
end

--- The path of a folder that does not exist yet, in one that `helper.clean` removes. PKV_FOLDERS in
-- the environment names the folder for both.
function helper.folder() return assert(folder_in(os.getenv "PKV_FOLDERS")) end

--- The same in memory, if the system has a file system there: a flush costs nothing.
function helper.memory_folder() return folder_in "/dev/shm" or helper.folder() end

local function remove(path)
   if lfs.symlinkattributes(path, "mode") == "directory" then
      for name in lfs.dir(path) do
         if name ~= "." and name ~= ".." then remove(path .. "/" .. name) end
      end
      lfs.rmdir(path)
   else
      os.remove(path)
   end
end

--- Removes all folders made so far. Close their stores first: for instance by collectgarbage().
function helper.clean()
   for i = #made, 1, -1 do
      remove(made[i])
      made[i] = nil
   end
end

function helper.read(path)
   local file = assert(io.open(path, "rb"))
   local bytes = file:read("*a")
   file:close()
   return bytes
end

function helper.write(path, bytes)
   local file = assert(io.open(path, "wb"))
   assert(file:write(bytes))
   assert(file:close())
end

--- All files of a folder: name to content.
function helper.files(path)
   local files = {}
   for name in lfs.dir(path) do
      local file = path .. "/" .. name
      if lfs.symlinkattributes(file, "mode") == "file" then files[name] = helper.read(file) end
   end
   return files
end

--- Does any file of the folder contain these bytes?
function helper.contains(path, bytes)
   for _, content in pairs(helper.files(path)) do
      if content:find(bytes, 1, true) then return true end
   end
   return false
end

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- Runs Lua code in a process of its own, with the strings in ... as its arguments.
-- Returns its output, errors included, and its exit code, 128 + n if it died by signal n.
function helper.run(code, ...)
   local script = os.tmpname()
   local head = "package.path, package.cpath = %q, %q; local pairs = require('spec.support.compat').pairs; "
   helper.write(script, head:format(package.path, package.cpath) .. code)
   local command = { interpreter, script }
   for _, argument in ipairs { ... } do command[#command + 1] = quote(argument) end
   local pipe = assert(io.popen(("exec 2>&1; %s; echo \" $?\""):format(table.concat(command, " "))))
   local output, exit_code = pipe:read("*a"):match("^(.*) (%d+)\n$")
   pipe:close()
   os.remove(script)
   return output, tonumber(exit_code)
end

--- The same, and fails unless the exit code is 0. Returns the output.
function helper.run_well(code, ...)
   local output, exit_code = helper.run(code, ...)
   if exit_code ~= 0 then error("exit code " .. exit_code .. ": " .. output, 2) end
   return output
end

--- Equal in type and content: 1 is not 1.0 where that is a difference, -0.0 is not 0.0, and a NaN is a NaN.
function helper.same(a, b)
   if type(a) ~= type(b) then return false end
   if type(a) == "number" then
      if compat.type_of_number(a) ~= compat.type_of_number(b) then return false end
      if a ~= a then return b ~= b end
      return a == b and (a ~= 0 or compat.type_of_number(a) == "integer" or 1 / a == 1 / b)
   end
   if type(a) ~= "table" then return a == b end
   for key, value in next, a do
      if not helper.same(value, b[key]) then return false end
   end
   for key in next, b do
      if a[key] == nil then return false end
   end
   return true
end

--- A store's content as a table.
function helper.content(store)
   local content = {}
   for key, value in pairs(store) do
      if content[key] ~= nil then error("seen twice: " .. tostring(key), 2) end
      content[key] = value
   end
   return content
end

--- The same of the closed store in a folder.
function helper.content_of(folder, options)
   local pkv = require "pkv"
   local store = assert(pkv.open(folder, options))
   local content = helper.content(store)
   assert(pkv.close(store))
   return content
end

--- The message of the error that f raises; an error if it raises none.
function helper.raised(f, ...)
   local ok, message = pcall(f, ...)
   if ok then error("no error was raised", 2) end
   return tostring(message)
end

--- The line that the caller is at, as it stands before a message of an error raised there.
function helper.here()
   local info = debug.getinfo(2, "Sl")
   return info.short_src .. ":" .. info.currentline .. ":"
end

return helper
