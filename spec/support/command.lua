--- Runs the pkv command for specs: exit code, stdout, stderr.
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"

local build = os.getenv "PKV_BUILD" or "build"

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

return function(...)
   local words = {}
   for i, word in ipairs { ... } do words[i] = quote(word) end
   local out, err = os.tmpname(), os.tmpname()
   local line = ("%s/pkv %s < /dev/null > %s 2> %s"):format(build, table.concat(words, " "), out, err)
   local code = compat.execute(line)
   local printed, complained = helper.read(out), helper.read(err)
   os.remove(out)
   os.remove(err)
   assert(code < 128, "pkv died: " .. complained)
   return code, printed, complained
end
