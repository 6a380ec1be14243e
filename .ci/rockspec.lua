-- rockspec.lua [--check] SOURCE... - writes the list of C sources into the rockspec, or with --check
-- says whether it is already there. A rockspec cannot find files by itself.
local ROCKSPEC = "rockspec/persistent-kv-scm-1.rockspec"

local check = arg[1] == "--check"
if check then
   table.remove(arg, 1)
end
table.sort(arg)
local lines = {}
for i, source in ipairs(arg) do
   lines[i] = ('            "%s",\n'):format(source)
end

local file = assert(io.open(ROCKSPEC, "rb"))
local text = file:read "a"
file:close()
local list = "sources = {\n" .. table.concat(lines) .. "         }"
local made, count = text:gsub("sources = %b{}", (list:gsub("%%", "%%%%")))
assert(count == 1, "there is not one list of sources in the rockspec")

if made ~= text and check then
   io.stderr:write(ROCKSPEC, " does not list all sources: run make rockspec\n")
   os.exit(1)
elseif made ~= text then
   file = assert(io.open(ROCKSPEC, "wb"))
   assert(file:write(made))
   assert(file:close())
end
