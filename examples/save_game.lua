-- save_game.lua - a world that is saved as it changes: no save button, and no lost hour after a crash.
--
--     lua examples/save_game.lua [FOLDER]      run it again: the world has aged
--
-- Things have integer ids for keys, which take least memory. Only what changes in a turn is written.
-- At the end a snapshot makes the next start fast.

local pkv = require "pkv"

local world = assert(pkv.open(arg[1] or "data/world", {
   keys = "u32",
   on_event = function(name, details)
      if name == "restored" then print(("loaded %d things"):format(details.entries)) end
      if name == "failed" then io.stderr:write("not saved: ", details.message, "\n") end
   end,
}))

-- Id 0 is the world itself.
local function create()
   math.randomseed(1)
   for id = 1, 100 do
      world[id] = { kind = id % 3 == 0 and "tree" or "sheep", x = math.random(), y = math.random(), age = 0 }
   end
   world[0] = { turn = 0, next_id = 101 }
end

local function turn()
   local state = world[0]
   state.turn = state.turn + 1
   for id, thing in pkv.each(world) do -- what pairs(world) does from Lua 5.2 on
      if thing.kind == "sheep" then
         thing.x = thing.x + (math.random() - 0.5) / 10
         thing.y = thing.y + (math.random() - 0.5) / 10
         thing.age = thing.age + 1
         world[id] = thing.age < 40 and thing or nil
      elseif thing.kind == "tree" and math.random() < 0.1 then
         world[state.next_id] = { kind = "tree", x = thing.x, y = thing.y, age = 0 }
         state.next_id = state.next_id + 1
      end
   end
   world[0] = state
end

if not world[0] then create() end
for _ = 1, 10 do turn() end

local counts = { tree = 0, sheep = 0 }
for id, thing in pkv.each(world) do
   if id ~= 0 then counts[thing.kind] = counts[thing.kind] + 1 end
end
print(("turn %d: %d trees, %d sheep"):format(world[0].turn, counts.tree, counts.sheep))
assert(pkv.snapshot(world))
assert(pkv.close(world))
