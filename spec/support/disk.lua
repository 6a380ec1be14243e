--- What specs of the disk side share: folders as they lie on the disk, processes that are killed.
local lfs = require "lfs"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"
local pairs = compat.pairs

local disk = {}

local function is_plain(path) return lfs.symlinkattributes(path, "mode") == "file" end

local in_memory = lfs.attributes("/dev/shm", "mode") == "directory"
local made = {}

--- The path of a folder that does not exist yet, which `disk.clean` removes. In memory where that
-- is possible: most of a reopen is waiting for flushes.
function disk.folder()
   local path = helper.folder()
   if not in_memory then return path end
   local parent = "/dev/shm/pkv-" .. path:match("([^/]+)/store$")
   assert(lfs.mkdir(parent))
   made[#made + 1] = parent
   return parent .. "/store"
end

--- Removes all folders made so far. Close their stores first: for instance by collectgarbage().
function disk.clean()
   collectgarbage()
   for i = #made, 1, -1 do
      os.execute("rm -rf " .. made[i])
      made[i] = nil
   end
   helper.clean()
end

--- A new folder with the files of another one.
function disk.copy(from)
   local to = disk.folder()
   assert(lfs.mkdir(to))
   for name, bytes in pairs(helper.files(from)) do helper.write(to .. "/" .. name, bytes) end
   return to
end

--- The names of the store's data files, sorted: neither lock nor manifest.
function disk.names(path)
   local names = {}
   for name in lfs.dir(path) do
      if name:find("^snapshot_") and is_plain(path .. "/" .. name) then names[#names + 1] = name end
   end
   table.sort(names)
   return names
end

function disk.size(path, name) return lfs.attributes(path .. "/" .. name, "size") end

function disk.remove(path, name) assert(os.remove(path .. "/" .. name)) end

--- All files but the lock file, whose content means nothing: name to content.
function disk.files(path)
   local files = helper.files(path)
   files.lockfile = nil
   return files
end

--- The bytes with those at an offset (from 0 on) replaced.
function disk.patched(bytes, offset, new) return bytes:sub(1, offset) .. new .. bytes:sub(offset + #new + 1) end

function disk.flipped(bytes, offset, bit)
   local byte, mask = bytes:byte(offset + 1), 2 ^ (bit or 0)
   local is_set = math.floor(byte / mask) % 2 == 1
   return disk.patched(bytes, offset, string.char(is_set and byte - mask or byte + mask))
end

--- Runs Lua code with `pkv` and the path at hand, in a process that then dies by SIGKILL.
function disk.killed(path, code, ...)
   local output = helper.run(([[
      local pkv, path = require "pkv", arg[1]
      %s
      io.stdout:write "killed"
      io.stdout:flush()
      os.execute "kill -9 $PPID"]]):format(code), path, ...)
   if not output:find("killed", 1, true) then error(output, 2) end
end

--- Waits until a condition holds; an error if it never does, which takes minutes.
function disk.wait(condition)
   for _ = 1, 15000 do
      if condition() then return end
      os.execute "sleep 0.02"
   end
   error("what was waited for did not come", 2)
end

--- The records of a log or snapshot: { from, upto, key, value }, offsets from 0 on, value nil where
-- the key is unset. Ends at a zero length.
function disk.records(bytes)
   local records, at = {}, 1
   local function varint()
      local value, unit = 0, 1
      repeat
         local byte = bytes:byte(at)
         at, value, unit = at + 1, value + byte % 128 * unit, unit * 128
      until byte < 128
      return value
   end
   while at <= #bytes and bytes:byte(at) ~= 0 do
      local record = { from = at - 1, key = "" }
      local length = varint()
      record.upto = at - 1 + length
      while at <= record.upto do
         local tag = varint()
         if tag % 8 == 2 then
            local size = varint()
            local field = bytes:sub(at, at + size - 1)
            if tag == 0x0a then record.key = field else record.value = field end
            at = at + size
         elseif tag % 8 == 5 then
            at = at + 4
         else
            record[compat.floor(tag / 8)] = varint()
         end
      end
      records[#records + 1] = record
   end
   return records
end

--- The number of bytes without the zeros at the end, which stand for nothing in a log.
function disk.used(bytes)
   local size = #bytes
   while size > 0 and bytes:byte(size) == 0 do size = size - 1 end
   return size
end

--- Applies records to a table.
function disk.apply(records, content)
   for _, record in ipairs(records) do content[record.key] = record.value end
   return content
end

--- What stands in a .dump file: stored key to value.
function disk.dump(path)
   local function bytes(hex)
      return (hex:gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end))
   end
   local content = {}
   for line in io.lines(path) do
      local key, value = line:match("^(%x*) (%x*)$")
      content[bytes(key)] = bytes(value)
   end
   return content
end

--- A stored key as Lua has it; u64 and i64 only where Lua has integers, which wrap.
function disk.key(mode, bytes)
   if mode == "string" then return bytes end
   local size, key, unit = tonumber(mode:sub(2)) / 8, 0, 1
   for i = 1, size do key, unit = key + bytes:byte(i) * unit, unit * 256 end
   if mode:sub(1, 1) == "i" and bytes:byte(size) >= 128 then key = key - unit end
   return key
end

return disk
