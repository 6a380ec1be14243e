-- counter.lua - counts visits and keeps sessions, as a web application would.
--
--     lua examples/counter.lua [FOLDER]      run it twice: it goes on where it was
--
-- Each change is safe from a crash of the program when the assignment returns. Old sessions are
-- thrown out by a loop that removes entries as it goes.

local pkv = require "pkv"

local SESSION_SECONDS = 3600

local folder = arg[1] or "data/counter"
local counts = assert(pkv.open(folder .. "/counts"))
local sessions = assert(pkv.open(folder .. "/sessions"))

local function visit(page)
   counts[page] = pkv.get(counts, page, 0) + 1
   return counts[page]
end

local function new_session(user)
   local id
   repeat id = ("%08x"):format(math.random(0, 0x7fffffff)) until not sessions[id]
   sessions[id] = { user = user, expires = os.time() + SESSION_SECONDS, basket = {} }
   return id
end

-- Values are copies: read, change, store.
local function put_into_basket(id, article)
   local session = sessions[id]
   table.insert(session.basket, article)
   sessions[id] = session
end

local function expire()
   local removed, now = 0, os.time()
   for id, session in pkv.each(sessions) do -- what pairs(sessions) does from Lua 5.2 on
      if session.expires < now then
         sessions[id] = nil
         removed = removed + 1
      end
   end
   return removed
end

print(("removed %d expired sessions"):format(expire()))
for _, page in ipairs { "/", "/about", "/" } do print(page, visit(page)) end

local id = new_session("alice")
put_into_basket(id, "tea")
put_into_basket(id, "cups")
print(("session %s: %s has %s"):format(id, sessions[id].user, table.concat(sessions[id].basket, ", ")))
print(("%d sessions; %s"):format(#sessions, tostring(counts)))
assert(pkv.close(sessions))
assert(pkv.close(counts))
