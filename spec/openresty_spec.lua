--- The store in nginx: what its workers have of it, and that reloads and crashes lose nothing.
--
-- For the LuaJIT that Debian's nginx has, OpenResty's, which this runs on too.
if not pcall(require, "thread.exdata") then return end

local helper = require "spec.support.helper"
local documentation = require "spec.support.documentation"
local nginx = require "spec.support.nginx"
local pkv = require "pkv"

local servers = {}
local server -- the last of them

local function start(conf, files)
   local log
   server, log = nginx.start(conf, files)
   servers[#servers + 1] = server
   return assert(server, log)
end

after_each(function()
   for i = #servers, 1, -1 do servers[i]:stop() end
   servers = {}
   helper.clean()
end)

local function count(text, pattern)
   local _, number = text:gsub(pattern, "")
   return number
end

local function started() return count(server:log(), "start worker process %d") end
local function ended(one) return count((one or server):log(), "worker process %d+ exited") end
local function worker_pid() return server:log():match ".*start worker process (%d+)" end

describe("the example", function()
   local conf = helper.read "examples/openresty/nginx.conf"
   local files = { ["kv.lua"] = helper.read "examples/openresty/kv.lua" }

   before_each(function() start(conf, files) end)

   it("keeps what is put", function()
      assert.equal(404, (server:request("GET", "/kv/alice")))
      assert.same({ 200, "kept\n" }, { server:request("PUT", "/kv/alice", "level 3") })
      assert.equal("level 3", server:get "/kv/alice")
      assert.same({ 200, "kept\n" }, { server:request("PUT", "/kv/a%20b/%25%2B+", "") })
      assert.equal("", server:get "/kv/a%20b/%25%2B+")
      assert.same({ 200, "removed\n" }, { server:request("DELETE", "/kv/alice") })
      assert.same({ 200, "there was none\n" }, { server:request("DELETE", "/kv/alice") })
      assert.equal(405, (server:request("POST", "/kv/alice")))
      server:stop "QUIT"
      local store = assert(pkv.open(server.folder .. "/data/kv", { values = "string" }))
      assert.same({ ["a b/%++"] = "" }, helper.content(store))
      assert(pkv.close(store))
   end)

   it("has figures in the format of Prometheus", function()
      for i = 1, 3 do server:request("PUT", "/kv/" .. i, "12345") end
      local status, text = server:request("GET", "/metrics")
      assert.equal(200, status)
      assert.truthy(text:find('\npkv_entries{store="kv"} 3\n', 1, true))
      assert.truthy(text:find('\npkv_value_bytes{store="kv"} 15\n', 1, true))
      assert.truthy(text:find('\npkv_info{version="' .. pkv.version .. '",keys="string",values="string",', 1, true))
   end)

   --- Lets clients put values while disturb() is called some times; all that was acknowledged must be there
   -- after each. Where a client gets no answer, may_fail says whether that may be.
   local function under_load(times, may_fail, disturb)
      local acknowledged, number, stopped = {}, 0, false
      local function put(name)
         local i = 0
         while not stopped do
            i = i + 1
            local key, value = name .. "-" .. i, ("%d of %s"):format(i, name)
            local status, text = server:request("PUT", "/kv/" .. key, value)
            if status == 200 and text == "kept\n" then
               acknowledged[key] = value
               number = number + 1
            elseif status ~= 503 and not may_fail then
               error(("PUT: %s %s"):format(status, text))
            end
         end
      end
      local function some_more()
         local before = number
         server:wait_for("answered", function() return number > before + 25 end)
      end
      for i = 1, 4 do server:client(put, "client" .. i) end
      some_more()
      for _ = 1, times do
         disturb()
         some_more()
      end
      stopped = true
      server:finish()
      for key, value in pairs(acknowledged) do assert.equal(value, server:get("/kv/" .. key)) end
      server:stop "QUIT"
      local store = assert(pkv.open(server.folder .. "/data/kv", { values = "string" }))
      for key, value in pairs(acknowledged) do assert.equal(value, store[key]) end
      assert(pkv.close(store))
   end

   it("loses nothing in reloads under load", function()
      under_load(4, false, function()
         local before = ended()
         server:signal "HUP"
         server:wait_for("handed over", function() return ended() > before end)
      end)
      assert.equal(5, started())
   end)

   it("loses nothing when its worker is killed under load", function()
      under_load(4, true, function()
         local before = started()
         server:signal("KILL", worker_pid())
         server:wait_for("replaced", function() return started() > before end)
      end)
   end)

   it("loses nothing when its worker is killed in a reload", function()
      under_load(2, true, function()
         local before = started()
         server:signal "HUP"
         server:wait_for("replaced", function() return started() > before end)
         server:signal("KILL", worker_pid())
         server:wait_for("replaced again", function() return started() > before + 1 end)
      end)
   end)
end)

--- An application with a function for each location.
local APP = [[
local pkv = require "pkv"
local persistent_kv = require "resty.persistent_kv"
local seen = ngx.shared.seen
local path = ngx.config.prefix() .. "data"
local app = {}

local handle = persistent_kv.new(path, OPTIONS)
seen:set("worker" .. (ngx.worker.id() or ""), handle:store() and "open" or select(2, handle:store()))
seen:set("pid" .. (ngx.worker.id() or ""), ngx.worker.pid())

function app.seen() ngx.print(seen:get(ngx.var.arg_key) or "") end

local function say(store, message, code)
   ngx.print(store and "open" or code .. ": " .. message)
end

function app.state() say(handle:store()) end
function app.type() ngx.print(type(handle:store())) end

function app.wait()
   seen:set("waiting", ngx.worker.pid())
   say(handle:store(1e6))
end

function app.metrics()
   ngx.print(handle:metrics() or select(3, handle:metrics()))
end

-- Writes, waits until it is told to go on, and writes again.
function app.hold()
   local store = handle:store()
   store.first = "first"
   seen:set("held", ngx.worker.pid())
   while not seen:get "go" do ngx.sleep(0.01) end
   store.second = "second"
   ngx.print "written"
end

function app.go()
   seen:set("go", true)
   ngx.print(ngx.worker.pid())
end

function app.content()
   local store, lines = handle:store(1e6), {}
   for key, value in pairs(store) do lines[#lines + 1] = key .. "=" .. tostring(value) end
   table.sort(lines)
   ngx.print(table.concat(lines, " "))
end

function app.tick()
   local function tick()
      local store = handle:store()
      store.ticks = (store.ticks or 0) + 1
   end
   assert(ngx.timer.every(0.001, tick))
end

function app.ticks() ngx.print(handle:store().ticks or 0) end

function app.misuse()
   for _, options in ipairs { { worker = "0" }, { retry = -1 }, { sink = "os" }, { create = 1 } } do
      ngx.say(select(2, pcall(function() return (persistent_kv.new(path, options)) end)))
   end
end

-- Walks through the store with pauses, in which it is changed.
function app.walk()
   local store, seen = handle:store(), 0
   for i = 1, 1000 do store[i .. ""] = i end
   for key in pairs(store) do
      if tonumber(key) then seen = seen + 1 end
      if seen % 50 == 0 then ngx.sleep(0.001) end
   end
   ngx.print(seen)
end

-- Makes snapshots due as long as it is not told to stop.
function app.snapshots()
   local store = handle:store()
   for i = 1, 20000 do store["key" .. i] = ("x"):rep(100) end
   local i = 0
   while not seen:get "go" do
      i = i + 1
      store.last = i
      ngx.sleep(0.001)
   end
   ngx.print(i)
end

return app
]]

--- The server of that application, with these directives of nginx and these options of the store.
local function app(main, options)
   return start(nginx.conf(main .. [[

http {
    lua_shared_dict seen 1m;
    init_worker_by_lua_block { require "app" }
    server {
        listen 127.0.0.1:8080;
        location ~ ^/(.*)$ { content_by_lua_block { require("app")[ngx.var[1] ]() } }
    }
}
]]), { ["app.lua"] = (APP:gsub("OPTIONS", options or "{}")) })
end

--- Asks until the answer is what condition() wants, and returns it. A worker that ends may give none.
local function ask(target, condition)
   return server:wait_for("answered as wanted: " .. target, function()
      local status, text = server:request("GET", target)
      return status == 200 and condition(text) and text
   end)
end

local function is_there(text) return text ~= "" end
local function is_not(other) return function(text) return text ~= other end end

--- What all workers say about the store.
local function words_of_workers(workers)
   local words = {}
   for i = 0, workers - 1 do words[i] = ask("/seen?key=worker" .. i, is_there) end
   return words
end

describe("of several workers", function()
   local function locked(owner, worker)
      return ("the store %s/data is open in nginx worker %d only, and this is worker %d: pass what needs it on to that "
         .. "worker, or run nginx with one (see doc/openresty.md)"):format(server.folder, owner, worker)
   end

   it("the first has the store, and the others say so", function()
      app("worker_processes 4;")
      local words = words_of_workers(4)
      assert.same({ [0] = "open", locked(0, 1), locked(0, 2), locked(0, 3) }, words)
   end)

   it("another one has it, if that is wanted", function()
      app("worker_processes 3;", "{ worker = 2 }")
      local words = words_of_workers(3)
      assert.same({ [0] = locked(2, 0), locked(2, 1), "open" }, words)
   end)

   it("the one that has it is replaced when it is killed", function()
      app("worker_processes 3;")
      words_of_workers(3)
      local pid = server:get "/seen?key=pid0"
      server:signal("KILL", pid)
      ask("/seen?key=pid0", is_not(pid))
      assert.equal("open", words_of_workers(3)[0])
   end)
end)

describe("a store in a worker", function()
   it("is a cdata", function()
      app "worker_processes 1;"
      assert.equal("cdata", server:get "/type")
   end)

   it("is walked through while others change it", function()
      app "worker_processes 1;"
      local walked = {}
      server:get "/tick"
      for i = 1, 3 do server:client(function() walked[i] = server:get "/walk" end) end
      server:finish()
      assert.same({ "1000", "1000", "1000" }, walked)
   end)

   it("is flushed in the background", function()
      app("worker_processes 1;", "{ sync = 0.01 }")
      server:get "/tick"
      ask("/metrics", function(text) return tonumber(text:match "\npkv_flushes_total (%d+)\n") > 2 end)
   end)

   it("is used by timers", function()
      app "worker_processes 1;"
      server:get "/tick"
      ask("/ticks", function(text) return tonumber(text) > 5 end)
      server:stop "QUIT"
      local store = assert(pkv.open(server.folder .. "/data"))
      assert.is_true(store.ticks > 5)
      assert(pkv.close(store))
   end)

   it("stays with the old worker while its requests run, and is taken over after that", function()
      app "worker_processes 1;"
      local answer
      server:client(function() answer = select(2, server:request("GET", "/hold")) end)
      local old = ask("/seen?key=held", is_there)
      server:signal "HUP"
      local state = ask("/state", is_not "open")
      assert.truthy(state:find("^locked: .*: the worker before this one has it until it exits, which "
         .. "worker_shutdown_timeout limits; it is taken over then$"), state)
      assert.equal("locked", server:get "/metrics")
      -- And again, with a worker that never gets it.
      local waited, waited_in_vain
      server:client(function() waited_in_vain = select(2, server:request("GET", "/wait")) end)
      ask("/seen?key=waiting", is_there)
      server:signal "HUP"
      server:wait_for("ended", function() return ended() == 1 end)
      server:wait_for("answered", function() return waited_in_vain end)
      assert.equal("closed: this nginx worker is exiting", waited_in_vain)
      server:client(function() waited = select(2, server:request("GET", "/wait")) end)
      assert.is_nil(waited)
      assert.not_equal(old, server:get "/go")
      server:finish()
      assert.equal("written", answer)
      assert.equal("open", waited)
      assert.equal("first=first second=second", server:get "/content")
   end)

   it("is taken over when worker_shutdown_timeout ends the old worker", function()
      app "worker_processes 1; worker_shutdown_timeout 100ms;"
      local answered, answer
      server:client(function()
         answer = server:request("GET", "/hold")
         answered = true
      end)
      ask("/seen?key=held", is_there)
      server:signal "HUP"
      server:wait_for("ended", function() return ended() == 1 end)
      assert.equal("first=first", server:get "/content")
      server:wait_for("cut", function() return answered end)
      assert.is_nil(answer)
   end)

   it("is flushed and closed when nginx ends", function()
      for _, signal in ipairs { "QUIT", "TERM" } do
         app("worker_processes 1;", "{ sync = 'buffered', wal_io = 'pwrite' }")
         server:get "/go"
         server:get "/hold"
         server:stop(signal)
         local store = assert(pkv.open(server.folder .. "/data"))
         assert.same({ first = "first", second = "second" }, helper.content(store))
         assert(pkv.close(store))
      end
   end)

   it("is written to a snapshot while requests are answered", function()
      app("worker_processes 1;", "{ snapshot_interval = 1 }")
      server:client(function() server:request("GET", "/snapshots") end)
      ask("/metrics", function(text) return text:find("\npkv_snapshot_running 1\n", 1, true) end)
      ask("/metrics", function(text) return tonumber(text:match "\npkv_snapshots_total (%d+)\n") > 1 end)
      server:get "/go"
      server:finish()
   end)

   it("is refused with wrong options, at the line of the mistake", function()
      app "worker_processes 1;"
      local here = "^/%S+/app%.lua:%d+: "
      local lines = {}
      for line in server:get "/misuse":gmatch "[^\n]+" do lines[#lines + 1] = line end
      assert.truthy(lines[1]:find(here .. "option 'worker' must be a number from 0 on$"), lines[1])
      assert.truthy(lines[2]:find(here .. "option 'retry' must be a number from 0 on$"), lines[2])
      assert.truthy(lines[3]:find(here .. ".-unknown option string \"sink\"; the options are"), lines[3])
      assert.truthy(lines[4]:find(here .. ".-option 'create' must be true or false, got number 1%)$"), lines[4])
   end)
end)

describe("in the master, before it forks,", function()
   it("new is refused", function()
      local started_server, log = nginx.start(nginx.conf [[

http {
    init_by_lua_block { require("resty.persistent_kv").new(ngx.config.prefix() .. "data") }
}
]])
      assert.is_nil(started_server)
      assert.truthy(log:find("call new in init_worker_by_lua: what nginx opens in init_by_lua, before it forks, "
         .. "no worker can use", 1, true), log)
   end)

   it("a store can be opened, but no worker can use it", function()
      start(nginx.conf [[
worker_processes 2;
http {
    init_by_lua_block { store = assert(require("pkv").open(ngx.config.prefix() .. "data")) }
    server {
        listen 127.0.0.1:8080;
        location / {
            content_by_lua_block {
                local pkv = require "pkv"
                ngx.say(select(3, pkv.get(store, "x")))
                ngx.say(pcall(function() store.x = 1 end))
                ngx.say(select(3, pkv.open(ngx.config.prefix() .. "data")))
            }
        }
    }
}
]])
      local lines = server:get "/"
      assert.truthy(lines:find "^forked\nfalse.-opened before fork, by the parent process.-\nlocked\n$", lines)
   end)
end)

describe("the documentation", function()
   local function blocks(path, title)
      local text = helper.read(path):match(title .. "\n.*")
      local confs, files = documentation.blocks(text, "nginx"), {}
      for _, block in ipairs(documentation.blocks(text, "lua")) do
         files[block:match "^%-%- (%S+)\n" or ""] = block
      end
      return confs, files
   end

   local confs, files = blocks("doc/openresty.md", "# In nginx")

   it("shows a start, and figures, that work", function()
      assert.equal(3, #confs)
      local conf = confs[1]:gsub("(listen [^\n]*\n)", function(listen) return listen .. confs[3] end)
      start(nginx.conf("\n" .. conf), files)
      assert.equal("1\n", server:get "/visit")
      assert.equal("2\n", server:get "/visit")
      assert.truthy(server:get "/metrics":find('\npkv_entries{store="sessions"} 1\n', 1, true))
   end)

   it("is right that the start works without lua_code_cache, too", function()
      start(nginx.conf("\n" .. confs[1]:gsub("http {\n", "http {\n    lua_code_cache off;\n")), files)
      for i = 1, 5 do assert.equal(i .. "\n", server:get "/visit") end
   end)

   it("shows a nginx in front of that of the store that works, reloads of the latter included", function()
      local conf = helper.read "examples/openresty/nginx.conf":gsub("127.0.0.1:8080", "unix:FOLDER/store.sock")
      local back = start(conf, { ["kv.lua"] = helper.read "examples/openresty/kv.lua" })
      local front = start(nginx.conf("\n" .. confs[2]:gsub("unix:/run", "unix:" .. back.folder)), files)
      assert.equal("hello alice\n", front:get "/greet?name=alice")
      for _ = 1, 3 do
         local before = ended(back)
         back:signal "HUP"
         repeat assert.equal("hello again alice\n", front:get "/greet?name=alice") until ended(back) > before
      end
      assert.equal("hello bob\n", front:get "/greet?name=bob")
      assert.equal(404, (front:request("GET", "/store/kv/alice")))
   end)

   it("shows sessions that work, and end", function()
      local conf, sessions = blocks("doc/cookbook.md", "## Sessions in OpenResty")
      local lasting = sessions["sessions.lua"]
      local brief = lasting:gsub("SECONDS = 3600", "SECONDS = 0")
      assert.not_equal(lasting, brief)
      local sweep = [[location = /sweep { content_by_lua_block {
         require("sessions").sweep()
         local store = require("resty.persistent_kv").new(ngx.config.prefix() .. "data/sessions"):store()
         ngx.print(#store)
      } }
      ]]
      start(nginx.conf("\n" .. conf[1]:gsub("location = /login", function(login) return sweep .. login end)),
         { ["sessions.lua"] = lasting })
      local alice, bob = server:get "/login?user=alice":match "^%x+", server:get "/login?user=bob":match "^%x+"
      assert.equal(32, #alice)
      assert.not_equal(alice, bob)
      assert.equal("alice\n", server:get("/whoami?session=" .. alice))
      assert.equal(403, (server:request("GET", "/whoami?session=nobody")))
      assert.equal(403, (server:request("GET", "/whoami")))
      assert.equal("bye\n", server:get("/logout?session=" .. alice))
      assert.equal(403, (server:request("GET", "/whoami?session=" .. alice)))
      assert.equal("1", server:get "/sweep")
      -- With sessions that end at once.
      helper.write(server.folder .. "/sessions.lua", brief)
      server:signal "HUP"
      server:wait_for("ended", function() return ended() == 1 end)
      assert.equal("bob\n", server:get("/whoami?session=" .. bob))
      local carol = server:get "/login?user=carol":match "^%x+"
      assert.equal(403, (server:request("GET", "/whoami?session=" .. carol)))
      assert.equal("1", server:get "/sweep")
   end)
end)
