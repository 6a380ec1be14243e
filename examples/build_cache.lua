-- build_cache.lua - remembers the output of commands by their text and the content of their inputs, so that
-- what has not changed is not run again.
--
--     lua examples/build_cache.lua [FOLDER]      the second time nothing runs
--
-- A cache may lose its last entries but must not slow anybody down: sync = "buffered". Two programs
-- cannot have it open at once, so the second goes without.

local pkv = require "pkv"

local cache, message, code = pkv.open(arg[1] or "data/build-cache", { sync = "buffered" })
if not cache and code ~= "locked" then error(message) end
if not cache then
   io.stderr:write("the cache is in use, working without it\n")
   cache = {}
end

-- The key is made of all that the result depends on. Any bytes, up to 16 MiB, may be a key.
local function key_of(command, inputs)
   local parts = { command }
   for _, path in ipairs(inputs) do
      local file = assert(io.open(path, "rb"))
      local content = file:read("*a")
      parts[#parts + 1] = ("%d %s %d %s"):format(#path, path, #content, content)
      file:close()
   end
   return table.concat(parts, "\0")
end

local ran, remembered = 0, 0

local function run(command, inputs)
   local key = key_of(command, inputs)
   local known = cache[key]
   if known then
      remembered = remembered + 1
      return known.output, known.ok
   end
   ran = ran + 1
   local pipe = assert(io.popen(command))
   local output = pipe:read("*a")
   local ok = pipe:close() == true
   if ok then cache[key] = { output = output, ok = ok, at = os.time() } end
   return output, ok
end

for _, path in ipairs { "/etc/passwd", "/etc/group", "/etc/hostname" } do
   io.write(path, ": ", (run("cksum < " .. path, { path })))
end
print(("ran %d commands, remembered %d"):format(ran, remembered))
if pkv.is_store(cache) then assert(pkv.close(cache)) end
