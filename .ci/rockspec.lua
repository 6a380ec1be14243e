-- rockspec.lua [--check] FILE... - writes the lists of C sources and Lua files into the rockspec, which
-- cannot find files by itself, and makes that of the release from it; or with --check says whether all
-- is as it should be.
local FOLDER, ROCK = "rockspec/", "persistent-kv-"

local check = arg[1] == "--check"
if check then
   table.remove(arg, 1)
end

local function read(path)
   local file = io.open(path, "rb")
   local text = file and file:read "a" or ""
   if file then
      file:close()
   end
   return text
end

local function replace(text, pattern, new)
   local made, count = text:gsub(pattern, (new:gsub("%%", "%%%%")))
   assert(count == 1, "the rockspec has not exactly one " .. pattern)
   return made
end

local function keep(path, made)
   if read(path) == made then
      return
   end
   if check then
      io.stderr:write(path, " is not up to date: run make rockspec\n")
      os.exit(1)
   end
   local file = assert(io.open(path, "wb"))
   assert(file:write(made))
   assert(file:close())
end

table.sort(arg)
local sources, modules = {}, {}
for _, path in ipairs(arg) do
   local name = path:match "^lua/(.*)%.lua$"
   if name then
      modules[#modules + 1] = ('      ["%s"] = "%s",\n'):format(name:gsub("/", "."), path)
   else
      sources[#sources + 1] = ('            "%s",\n'):format(path)
   end
end

local scm = read(FOLDER .. ROCK .. "scm-1.rockspec")
scm = replace(scm, "sources = %b{}", "sources = {\n" .. table.concat(sources) .. "         }")
scm = replace(scm, "\n      },\n.-\n   },\n}", "\n      },\n" .. table.concat(modules) .. "   },\n}")
keep(FOLDER .. ROCK .. "scm-1.rockspec", scm)

local version = read("src/pkv.h"):match '#define PKV_VERSION "([%d.]+)'
local release = replace(scm, 'version = "scm%-1"', ('version = "%s-1"'):format(version))
release = replace(release, "source = (%b{})", ('source = { url = "git+file://.", tag = "v%s" }'):format(version))
release = replace(release, "scm%-1%.rockspec", version .. "-1.rockspec")
keep(FOLDER .. ROCK .. version .. "-1.rockspec", release)
