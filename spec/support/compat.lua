--- What differs between Lua 5.1 to 5.5 and LuaJIT, for specs that run on all of them. They are written
-- in what all have in common: no //, no &, no <close>, "*a" for reading a file, \255 for \xff.
local compat = {}

compat.has_integers = math.type ~= nil                  -- numbers are integers or floats
compat.has_close = _VERSION >= "Lua 5.4"                -- local x <close>
compat.has_table_finalizers = _VERSION >= "Lua 5.2"     -- __gc of tables; LuaJIT is a Lua 5.1
compat.is_luajit = rawget(_G, "jit") ~= nil
compat.has_ffi = compat.is_luajit and not package.preload["pkv.ffi"] -- stores are cdata

--- The ends of the range of 64 bits, or next to them where numbers are doubles.
compat.maxinteger = math.maxinteger or 2 ^ 63 - 1024
compat.mininteger = math.mininteger or -2 ^ 63

compat.unpack = table.unpack or unpack

--- The integer where Lua has integers, of a number that has no fraction.
function compat.integer(number)
   return math.tointeger and math.tointeger(number) or number
end

function compat.floor(number)
   return compat.integer(math.floor(number))
end

--- "integer" or "float" where that is a difference, else "number".
compat.type_of_number = math.type or type

--- pairs, also for stores where it works for tables only.
compat.pairs = pairs
if _VERSION == "Lua 5.1" and not compat.has_ffi then
   function compat.pairs(object)
      local pkv = require "pkv"
      if pkv.is_store(object) then return pkv.each(object) end
      return pairs(object)
   end
end

--- The bytes that a text with escapes such as \xff and \0 stands for, which Lua 5.1 does not know.
function compat.hex(text)
   return (text:gsub("\\(x?)(%x%x?)", function(is_hex, digits)
      if is_hex == "x" then return string.char(tonumber(digits, 16)) end
      return string.char(tonumber(digits:sub(1, 1))) .. digits:sub(2)
   end))
end

--- Runs a command of the shell. Returns its exit code, 128 + n if it died by signal n.
function compat.execute(command)
   local done, how, code = os.execute(command)
   if type(done) == "number" then -- Lua 5.1: as wait has it
      return done % 128 == 0 and math.floor(done / 256) or 128 + done % 128
   end
   return how == "signal" and 128 + code or code
end

--- A function of the code, with its globals in env.
function compat.load(code, name, env)
   if not setfenv then return load(code, name, "t", env) end
   local f, message = loadstring(code, name)
   return f and setfenv(f, env), message
end

--- Calls f with a value that is a <close> variable meanwhile; where there are such.
compat.with_close = compat.has_close and load "local value <close>, f = ... return f(value)"

--- How far memory grows before the collector goes to work, in percent.
function compat.set_pause(percent)
   if _VERSION < "Lua 5.5" then return collectgarbage("setpause", percent) end
   return collectgarbage("param", "pause", percent)
end

--- An object that calls f when it is collected.
function compat.finalizer(f)
   if compat.has_table_finalizers then return setmetatable({}, { __gc = f }) end
   local object = newproxy(true)
   getmetatable(object).__gc = f
   return object
end

return compat
