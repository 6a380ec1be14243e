--- A store in nginx: opened in one worker, and taken over by its successor after a reload or a crash.
--
-- Made in every worker, in init_worker_by_lua*. The worker that is to have the store opens it at once if it
-- can. If not, the last one still has it: that is tried again by a timer until it lets go, which it does
-- when it exits, or dies.
local pkv = require "pkv"
local prometheus = require "pkv.prometheus"

---@class resty.persistent_kv.Options: pkv.Options
---@field worker? integer  number of the nginx worker that is to have the store; default 0
---@field retry? number    seconds between two tries to open it; default 0.05

---@class resty.persistent_kv
local persistent_kv = { _VERSION = pkv.version }

---@class resty.persistent_kv.Handle
local methods = {}

-- Options that are not those of pkv.open.
local OPTIONS = { worker = 0, retry = 0.05 }

local ELSEWHERE = "the store %s is open in nginx worker %d only, and this is %s: pass what needs it on to that "
   .. "worker, or run nginx with one (see doc/openresty.md)"
local NOT_YET = "%s: the worker before this one has it until it exits, which worker_shutdown_timeout limits; "
   .. "it is taken over then"

local function take_over(premature, self)
   if premature then
      self.taking, self.message, self.code = false, "this nginx worker is exiting", "closed"
      return
   end
   local sound, store, message, code = pcall(pkv.open, self.path, self.options)
   if not sound then error(store, 3) end
   self.opened, self.message, self.code = store, message, code
   self.taking = code == "locked"
   if self.taking then
      self.message = NOT_YET:format(message)
      local ok, problem = ngx.timer.at(self.retry, take_over, self)
      if not ok then
         self.taking, self.message = false, ("%s; but nginx has no timer to try again: %s"):format(message, problem)
      end
   elseif not store then
      ngx.log(ngx.ERR, message)
   end
end

---A handle for the store in a folder, with the options of pkv.open and these two. To be made in every worker,
---in init_worker_by_lua*.
---@param path string
---@param options? resty.persistent_kv.Options
---@return resty.persistent_kv.Handle
function persistent_kv.new(path, options)
   if ngx.get_phase() == "init" then
      error("call new in init_worker_by_lua: what nginx opens in init_by_lua, before it forks, no worker can use", 2)
   end
   local self = { path = path, options = {}, worker = OPTIONS.worker, retry = OPTIONS.retry }
   for name, value in pairs(options or {}) do
      if OPTIONS[name] == nil then
         self.options[name] = value
      elseif type(value) == "number" and value >= 0 then
         self[name] = value
      else
         error(("option '%s' must be a number from 0 on"):format(name), 2)
      end
   end
   self.retry = math.max(self.retry, 0.001) -- at 0, nginx would do nothing else
   local worker = ngx.worker.id()
   if worker == self.worker then
      take_over(false, self)
   else
      self.message = ELSEWHERE:format(path, self.worker, worker and "worker " .. worker or "another process")
      self.code = "locked"
   end
   return setmetatable(self, { __index = methods })
end

---The store; or nil, message, code. If this worker is about to take it over, waits for that up to so many
---seconds (0), while other requests go on; where nginx cannot wait, in log_by_lua* for instance, give none.
---@param seconds? number
---@return pkv.Store? store
---@return string? message
---@return pkv.Code? code
function methods:store(seconds)
   local deadline = ngx.now() + (seconds or 0)
   while self.taking and ngx.now() < deadline do ngx.sleep(self.retry) end
   if self.opened then return self.opened end
   return nil, self.message, self.code
end

---The store's figures as text for Prometheus.
---@param labels? table<string, string | number>
---@return string? text
---@return string? message
---@return pkv.Code? code
function methods:metrics(labels)
   if not self.opened then return nil, self.message, self.code end
   return prometheus(self.opened, labels)
end

return persistent_kv
