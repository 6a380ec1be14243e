--- Programs in Markdown files: what they are, and what they print.
local lfs = require "lfs"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"

local documentation = {}

--- The blocks of a language in a text: a list.
function documentation.blocks(text, language)
   local list = {}
   for block in text:gmatch("```" .. language .. "\n(.-)```") do list[#list + 1] = block end
   return list
end

--- The Lua blocks of a text as one program, those for LuaJIT only there, and what its comments "--> ..."
-- promise.
function documentation.program_of(text)
   local code, promised = {}, {}
   for language, block in text:gmatch "```lua *(%a*)\n(.-)```" do
      if language == "" or language == "LuaJIT" and compat.has_ffi then
         code[#code + 1] = block
         for line in block:gmatch "%-%-> *([^\n]*)" do promised[#promised + 1] = line:gsub("%s+", " ") end
      end
   end
   return table.concat(code, "\n"), promised
end

--- Calls f in a folder of its own.
function documentation.in_folder(f)
   local here, folder = lfs.currentdir(), helper.folder()
   assert(lfs.mkdir(folder))
   assert(lfs.chdir(folder))
   local ok, problem = xpcall(f, debug.traceback)
   collectgarbage()
   assert(lfs.chdir(here))
   helper.clean()
   if not ok then error(problem, 0) end
end

--- Runs code in this folder, with these globals beside its own. Returns the lines that it prints.
function documentation.run(code, name, globals)
   local lines = {}
   local env = { pairs = compat.pairs, print = function(...)
      local words = {}
      for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
      lines[#lines + 1] = table.concat(words, " ")
   end }
   for global, value in pairs(globals or {}) do env[global] = value end
   if not compat.has_close then code = code:gsub(" <close>", "") end
   assert(compat.load(code, "=" .. name, setmetatable(env, { __index = _G })))()
   return lines
end

return documentation
