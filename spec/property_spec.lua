--- A store is a table that keeps its contents: random operations on both, in every key mode, with
-- reopens, snapshots and changes of all that may change in between, show no difference.
--
-- Every third mode works on the disk, the others in memory, where flushes take no time.
-- PKV_PROPERTY_OPS: number of operations over all modes. PKV_SEED: the seed of a run to repeat.
local pkv = require "pkv"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"

local modes = { "string", "u64", "i64", "u32", "i32", "u16", "i16", "u8", "i8" }
local total = tonumber(os.getenv("PKV_PROPERTY_OPS")) or 1000000
local seed = tonumber(os.getenv("PKV_SEED")) or os.time() % 1e6 * 1000 + math.floor(os.clock() * 1e6) % 1000

local random, pairs = math.random, compat.pairs

local function pick(list) return list[random(#list)] end

-- Keys: few enough to meet again, with the ends of the range and values that look alike among them.
local exact_bits = compat.has_integers and 62 or 53

--- Up to so many bits, as far as a number of this Lua can hold them.
local function random_integer(bits)
   bits = math.min(bits, exact_bits)
   local high = bits > 30 and random(0, 2 ^ (bits - 30) - 1) or 0
   return high * compat.integer(2 ^ 30) + random(0, 2 ^ math.min(bits, 30) - 1)
end

local function string_keys()
   local keys = { "", "\0", "\0\0", "get", "close", "__index", ("k"):rep(1000), ("k"):rep(5000) }
   for i = 1, 2000 do keys[#keys + 1] = pick { "k%d", "%d", "%d\0", "longer key number %d" }:format(i) end
   return keys
end

local function integer_keys(mode)
   local bits = tonumber(mode:match("%d+"))
   local signed = mode:sub(1, 1) == "i"
   -- Where Lua has integers, those of u64 from 2^63 on are negative.
   local negative = signed or bits == 64 and compat.has_integers
   local low, high = signed and -2 ^ (bits - 1) or 0, 2 ^ (bits - (signed and 1 or 0)) - 1
   local keys, seen = {}, {}
   local function add(key)
      if bits < 64 and (key < low or key > high) or seen[key] then return end
      seen[key] = true
      keys[#keys + 1] = key
   end
   for bit = 0, bits == 64 and exact_bits or bits do
      for offset = -1, 1 do
         add(compat.integer(2 ^ bit) + offset)
         if negative then add(-compat.integer(2 ^ bit) + offset) end
      end
   end
   for i = 1, 1000 do
      add(i)
      add(random_integer(bits))
      if negative then add(-random_integer(bits)) end
   end
   if bits == 64 then add(compat.maxinteger) end
   if bits == 64 and negative then add(compat.mininteger) end
   return keys
end

local function value(depth)
   local kind = random(100)
   if kind <= 40 then return random_integer(random(0, 63)) * (random(4) == 1 and -1 or 1) end
   if kind <= 75 then return ("v"):rep(random(0, 60)) .. random(1000) end
   if kind <= 80 then return random() * 10 ^ random(-20, 20) end
   if kind <= 83 then return pick { 0.0, -0.0, math.huge, -math.huge, 1.0, 2.0 ^ 60 } end
   if kind <= 88 then return random(2) == 1 end
   if kind == 89 then return ("large"):rep(random(200, 1500)) end
   if depth > 2 then return "" end
   local list = {}
   for i = 1, random(0, 4) do
      list[random(4) == 1 and "name" .. i or i] = value(depth + 1)
   end
   return list
end

-- Sizes at which something happens in a file or an arena, now and then.
local function options(mode)
   return {
      keys = mode,
      memory_shards = 2 ^ random(0, 6),
      wal_shards = random(5),
      snapshot_threads = random(4),
      snapshot_shard_bytes = pick { 1000, 20000, 1000000 },
      snapshot_interval = pick { false, 1000, 10000 },
      keep_backups = random(0, 2),
      wal_io = pick { "mmap", "pwrite" },
      sync = pick { "os", "os", "buffered", 0.01 },
   }
end

local Run = {}
Run.__index = Run

function Run.new(mode, path)
   local keys = mode == "string" and string_keys() or integer_keys(mode)
   local run = setmetatable({ mode = mode, keys = keys, model = {}, history = {}, count = 0, done = 0,
                              path = path }, Run)
   run:open()
   return run
end

--- Remembers what is done to the store as a whole; an error shows the latest of it.
function Run:note(what)
   local shown = {}
   for name, option in pairs(self.options) do shown[#shown + 1] = name .. "=" .. tostring(option) end
   table.sort(shown)
   local history = self.history
   history[#history + 1] = ("%d: %s %s"):format(self.done, what,
                                                what == "open" and table.concat(shown, " ") or "")
   if #history > 8 then table.remove(history, 1) end
end

local function show(found)
   return type(found) == "string" and ("%q"):format(found:sub(1, 40)) or tostring(found)
end

function Run:check(truth, what, key, found)
   if truth then return end
   error(("PKV_SEED=%d PKV_PROPERTY_OPS=%d, after %d operations on %s keys, %s:\nkey %s: %s instead of %s\n%s")
         :format(seed, total, self.done, self.mode, what, show(key), show(found), show(self.model[key]),
                 table.concat(self.history, "\n")), 0)
end

function Run:open()
   self.options = options(self.mode)
   self:note("open")
   self.store = assert(pkv.open(self.path, self.options))
end

function Run:set(key)
   local new = value(0)
   if random(2) == 1 then self.store[key] = new else assert(pkv.set(self.store, key, new)) end
   if self.model[key] == nil then self.count = self.count + 1 end
   self.model[key] = new
end

function Run:unset(key)
   local was = self.model[key] ~= nil
   if random(2) == 1 then
      self:check(assert(pkv.unset(self.store, key) == was), "unset tells wrongly whether it was there", key)
   else
      self.store[key] = nil
   end
   if was then self.count = self.count - 1 end
   self.model[key] = nil
end

function Run:get(key)
   local found = self.store[key]
   self:check(helper.same(self.model[key], found), "get differs", key, found)
end

function Run:compare()
   local seen = 0
   for key, found in pairs(self.store) do
      self:check(helper.same(self.model[key], found), "an iterated entry differs", key, found)
      seen = seen + 1
   end
   self:check(seen == self.count, ("iterated over %d of %d entries"):format(seen, self.count))
   self:check(#self.store == self.count, ("#store is %d, not %d"):format(#self.store, self.count))
end

--- Changes the store inside the loop: what stays from start to end is seen exactly once.
function Run:change_while_iterating()
   self:note("change while iterating")
   local touched, seen = {}, {}
   for key in pairs(self.store) do
      self:check(not seen[key], "seen twice", key)
      seen[key] = true
      if random(4) == 1 then
         local other = pick(self.keys)
         touched[other] = true
         if random(2) == 1 then self:set(other) else self:unset(other) end
      end
   end
   for key in pairs(self.model) do self:check(seen[key] or touched[key], "never seen", key) end
   self:compare()
end

function Run:reopen()
   assert(pkv.close(self.store))
   self:open()
   self:compare()
end

function Run:snapshot()
   self:note("snapshot")
   assert(pkv.snapshot(self.store))
end

--- Removes most entries, so that what was large becomes small.
function Run:thin_out()
   self:note("thin out")
   for key in pairs(self.store) do
      if random(10) > 1 then self:unset(key) end
   end
end

local rare = { { 5000, "reopen" }, { 4000, "snapshot" }, { 5000, "compare" },
               { 20000, "change_while_iterating" }, { 15000, "thin_out" } }

function Run:step()
   for i = 1, #rare do
      if random(rare[i][1]) == 1 then self[rare[i][2]](self) end
   end
   local kind, key = random(100), pick(self.keys)
   if kind <= 45 then self:set(key) elseif kind <= 65 then self:unset(key) else self:get(key) end
   self.done = self.done + 1
end

function Run:finish()
   self:reopen()
   self:change_while_iterating()
   self:reopen()
   assert(pkv.close(self.store))
end

describe(("random operations (PKV_SEED=%d)"):format(seed), function()
   after_each(helper.clean)
   for number, mode in ipairs(modes) do
      it(("on %s keys show no difference to a table"):format(mode), function()
         math.randomseed(seed + number)
         local run = Run.new(mode, number % 3 == 1 and helper.folder() or helper.memory_folder())
         for _ = 1, math.floor(total / #modes) + 1 do run:step() end
         run:finish()
      end)
   end
end)
