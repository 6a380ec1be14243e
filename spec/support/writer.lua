--- A program that changes a store and says so: what recovery_spec kills, and the same changes as the
-- spec knows them.
local writer = {}

--- An endless series of changes: key, value (nil: unset); the same for the same seed.
function writer.changes(seed, largest)
   math.randomseed(seed)
   local random = math.random
   local letters = {}
   for i = 1, 26 do letters[i] = string.char(96 + i):rep(largest) end
   return function()
      local key = ("key %d"):format(random(200))
      local kind = random(10)
      if kind <= 2 then return key, nil end
      local size = kind == 10 and random(largest) or random(20)
      return key, letters[random(26)]:sub(1, size) .. random(1 << 30)
   end
end

--- Makes changes until it is killed; after each, prints how many it has made.
function writer.run(path, seed, largest, options)
   local store = assert(require "pkv".open(path, options))
   io.stdout:write(io.open("/proc/self/stat"):read("n"), "\n")
   io.stdout:flush()
   local next_change = writer.changes(seed, largest)
   for i = 1, math.huge do
      local key, value = next_change()
      store[key] = value
      io.stdout:write(i, "\n")
      io.stdout:flush()
   end
end

return writer
