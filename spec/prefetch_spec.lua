--- Asking for memory ahead has no effect that a program could tell, so a compiler may leave it out, and gcc has:
-- calls of a function that does nothing else.
local build = os.getenv "PKV_BUILD" or "build"

local SOURCES = { "disk/log_file", "memory/load", "memory/read", "memory/table", "memory/walk" }
local INSTRUCTIONS = { x86_64 = "prefetch", aarch64 = "prfm" }

--- Without the library that a sanitizer has had this process load first.
local function output_of(command)
   local pipe = assert(io.popen("LD_PRELOAD= " .. command))
   local text = pipe:read "a"
   assert(pipe:close(), command .. " failed")
   return text
end

--- The lines of a source that ask, by number.
local function lines_that_ask(path)
   local lines, number = {}, 0
   for line in io.lines(path) do
      number = number + 1
      if line:find "prefetch_to_%l+%(" then lines[number] = line end
   end
   return lines
end

--- The lines of the source that instructions of this kind in an object file come from, inlined or not, as a set.
local function lines_behind(object, name, instruction)
   local addresses, seen = {}, {}
   for address, code in output_of("objdump -d --no-show-raw-insn " .. object):gmatch "(%x+):\t([^\n]*)" do
      if code:find("^" .. instruction) then addresses[#addresses + 1] = address end
   end
   local command = ("addr2line -i -j .text -e %s %s </dev/null"):format(object, table.concat(addresses, " "))
   for line in output_of(command):gmatch(name .. "%.c:(%d+)") do seen[tonumber(line)] = true end
   return seen
end

describe("asking for memory ahead", function()
   local instruction = INSTRUCTIONS[output_of("uname -m"):match "%S+"]

   for _, name in ipairs(SOURCES) do
      it("is in the code of src/" .. name .. ".c wherever its source says so", function()
         if not instruction then return pending "not known for this processor" end
         local wanted = lines_that_ask("src/" .. name .. ".c")
         assert.is_not_nil(next(wanted), "this file asks for nothing any more")
         local seen = lines_behind(("%s/obj/src/%s.o"):format(build, name), name, instruction)
         for number, line in pairs(wanted) do assert.is_true(seen[number], number .. ": " .. line) end
      end)
   end
end)
