-- kv.lua - what nginx.conf runs. Loaded by init_worker_by_lua, so that the store is open before the first request.
local pkv = require "pkv"
local persistent_kv = require "resty.persistent_kv"

-- How long a request may wait while a reload hands the store over.
local PATIENCE = 30

local handle = persistent_kv.new(ngx.config.prefix() .. "data/kv", { values = "string", sync = 1 })

local kv = {}

local function fail(status, message)
   ngx.status = status
   ngx.say(message)
   return ngx.exit(status)
end

local function open_store()
   local store, message = handle:store(PATIENCE)
   return store or fail(503, message)
end

local function body()
   ngx.req.read_body()
   return ngx.req.get_body_data() or ""
end

-- GET, PUT and DELETE of /kv/KEY.
function kv.handle()
   local store, key, method = open_store(), ngx.var[1], ngx.req.get_method()
   if method == "GET" then
      local value = store[key]
      if not value then return fail(404, "there is none") end
      ngx.print(value)
   elseif method == "PUT" then
      local ok, message = pkv.set(store, key, body())
      if not ok then return fail(500, message) end
      ngx.say "kept"
   elseif method == "DELETE" then
      local was_there, message = pkv.unset(store, key)
      if message then return fail(500, message) end
      ngx.say(was_there and "removed" or "there was none")
   else
      return fail(405, "GET, PUT and DELETE are what there is")
   end
end

-- For Prometheus.
function kv.metrics()
   local text, message = handle:metrics { store = "kv" }
   if not text then return fail(503, message) end
   ngx.header.content_type = "text/plain; version=0.0.4"
   ngx.print(text)
end

return kv
