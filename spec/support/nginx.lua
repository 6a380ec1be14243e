--- nginx for specs: a server of its own, in a folder of its own, on a free port of the loopback interface. It
-- ends with the spec, also where that is killed. And clients, which are coroutines.
local lfs = require "lfs"
local socket = require "socket"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"

local nginx = {}
nginx.__index = nginx

-- Seconds after which something that must happen is taken for something that never will.
local LIMIT = 300

local HEAD = [[
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
pid nginx.pid;
events {}
]]

local HTTP = [[

http {
    access_log off;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
]]

--- A whole nginx.conf of one that has only what it is about.
function nginx.conf(text)
   return HEAD .. text:gsub("\nhttp {\n", HTTP)
end

local function absolute(path)
   return path:find "^/" and path or lfs.currentdir() .. "/" .. path
end

-- What nginx needs to find the module that is tested; examples and documentation take an installed one.
local function with_paths(conf)
   local build = absolute(os.getenv "PKV_BUILD" or "build/lua5.1")
   local paths = '\n    lua_package_path "%s/lua/?.lua;$prefix/?.lua;;";\n    lua_package_cpath "%s/lua/?.so;;";\n'
   paths = paths:format(lfs.currentdir(), build)
   conf = conf:gsub("lua_package_path[^\n]*", "")
   return (conf:gsub("\nhttp {\n", function(head) return head .. paths end))
end

local function free_port()
   local listener = assert(socket.bind("127.0.0.1", 0))
   local _, port = listener:getsockname()
   listener:close()
   return port
end

local function read(path)
   return lfs.attributes(path, "mode") and helper.read(path) or ""
end

function nginx:log() return read(self.folder .. "/error.log") end

--- Waits until condition() is true; clients go on meanwhile.
function nginx:wait_for(what, condition)
   local limit = socket.gettime() + LIMIT
   while true do
      local met = condition()
      if met then return met end
      if socket.gettime() > limit then error(("never %s; the log of nginx:\n%s"):format(what, self:log()), 2) end
      if self.clients and #self.clients > 0 then self:step() else socket.sleep(0.005) end
   end
end

-- nginx as a child of this process, whose death it gets a signal of.
local function run(folder)
   local user = io.popen "id -u"
   local root = user:read "*l" == "0"
   user:close()
   local directives = "daemon off; error_log error.log notice;" .. (root and " user root;" or "")
   -- Debian puts it where only root looks.
   local command = "exec env -i PATH=\"$PATH:/usr/sbin\" setpriv --pdeathsig TERM "
      .. "nginx -p '%s/' -e error.log -c nginx.conf -g '%s' >'%s/output' 2>&1"
   return assert(io.popen(command:format(folder, directives, folder)))
end

--- Starts nginx with this configuration, where 8080 stands for the port and FOLDER for the folder, and these
-- other files. Returns the server; or nil and the log, if nginx does not want to start.
function nginx.start(conf, files)
   local folder = helper.folder()
   assert(lfs.mkdir(folder))
   for name, text in pairs(files or {}) do helper.write(folder .. "/" .. name, text) end
   local server = setmetatable({ folder = folder, clients = {} }, nginx)
   repeat -- another port, if somebody was faster
      server.port = free_port()
      os.remove(folder .. "/error.log")
      local placed = with_paths(conf):gsub(":8080;", ":" .. server.port .. ";"):gsub("FOLDER", folder)
      helper.write(folder .. "/nginx.conf", placed)
      server.pipe = run(folder)
      local log, started
      server:wait_for("started, nor failed", function()
         log = server:log() .. read(folder .. "/output")
         started = log:find "start worker process %d"
         -- It tries some times to listen.
         local failure = log:gsub("[^\n]*bind%(%) to [^\n]*", "")
         return started or failure:find "%[emerg%]" or failure:find "init_by_lua error" or failure:find "failed to exec"
      end)
      if not started then
         server.pipe:close()
         if not log:find "Address already in use" then return nil, log end
      end
   until started
   return server
end

function nginx:signal(name, pid)
   pid = pid or read(self.folder .. "/nginx.pid")
   return pid ~= "" and compat.execute(("kill -%s %d 2>/dev/null"):format(name, pid)) == 0
end

--- Ends nginx, by TERM or, as reloads end a worker, by QUIT, and waits for the end.
function nginx:stop(signal)
   if not self.pipe then return end
   self:signal(signal or "TERM")
   self.pipe:close()
   self.pipe = nil
end

local in_client = false

-- Waits until the socket can be read, or written to; a client lets others go on.
local function wait(side, connection)
   if in_client then
      coroutine.yield(side, connection)
      return true
   end
   local list = { connection }
   return not select(3, socket.select(side == "read" and list or nil, side == "write" and list or nil, LIMIT))
end

local function exchange(connection, request)
   local sent = 0
   while sent < #request do
      local last, problem, partly = connection:send(request, sent + 1)
      sent = last or partly
      if not last and (problem ~= "timeout" or not wait("write", connection)) then return nil, problem end
   end
   local parts = {}
   while true do
      local all, problem, part = connection:receive "*a"
      parts[#parts + 1] = all or part
      if all or problem == "closed" then return table.concat(parts) end
      if problem ~= "timeout" or not wait("read", connection) then return nil, problem end
   end
end

--- Makes a request. Returns status and body; or nil and a message where there was no whole answer.
function nginx:request(method, target, body)
   local connection = assert(socket.tcp())
   assert(connection:settimeout(0))
   local ok, problem = connection:connect("127.0.0.1", self.port)
   if not ok and problem == "timeout" then
      wait("write", connection)
      ok, problem = connection:connect("127.0.0.1", self.port)
      ok = ok or problem == "already connected"
   end
   local answer
   if ok then
      answer, problem = exchange(connection, ("%s %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s"):format(method, target,
         #(body or ""), body or ""))
   end
   connection:close()
   if not answer then return nil, problem end
   local status, head, text = answer:match "^HTTP/1%.%d (%d+)(.-)\r\n\r\n(.*)$"
   local length = head and tonumber(head:match "[Cc]ontent%-[Ll]ength: (%d+)")
   if not status or length and #text < length then return nil, "the answer was cut: " .. answer end
   return tonumber(status), text
end

function nginx:get(target)
   local status, text = self:request("GET", target)
   if status ~= 200 then error(("GET %s: %s %s; the log of nginx:\n%s"):format(target, status, text, self:log()), 2) end
   return text
end

-- Runs a client until it has to wait again.
local function resume(client, ...)
   in_client = true
   local sound, side, connection = coroutine.resume(client.routine, ...)
   in_client = false
   if not sound then error(debug.traceback(client.routine, side), 0) end
   client.side, client.connection = side, connection
end

--- Lets a client run f(...), until wait_for, step or finish lets it go on.
function nginx:client(f, ...)
   local client = { routine = coroutine.create(f) }
   self.clients[#self.clients + 1] = client
   resume(client, ...)
end

--- Lets clients go on that have something to do, and forgets those that are done.
function nginx:step()
   local read_from, write_to, running = {}, {}, {}
   for _, client in ipairs(self.clients) do
      if coroutine.status(client.routine) ~= "dead" then
         running[#running + 1] = client
         local list = client.side == "read" and read_from or write_to
         list[#list + 1] = client.connection
      end
   end
   self.clients = running
   if #running == 0 then return end
   local readable, writable = socket.select(read_from, write_to, 0.05)
   for _, client in ipairs(running) do
      if readable[client.connection] or writable[client.connection] then resume(client) end
   end
end

--- Waits until all clients are done.
function nginx:finish()
   self:wait_for("done", function() return #self.clients == 0 end)
end

return nginx
