-- ngx_dict.lua - ngx.shared.DICT, in nginx (see bench/lua/nginx). With LuaJIT, and shared between
-- processes, behind a lock.
-- luacheck: globals ngx
return {
   settings = { D0 = "nginx, LuaJIT, lua-resty-core, one process; lua_shared_dict with room for all" },
   open = function()
      ngx.shared.bench:flush_all()
      ngx.shared.bench:flush_expired()
      return { dict = ngx.shared.bench }
   end,
   set = "assert(dict:safe_set(k, v))",
   get = "v = dict:get(k)",
   remove = "dict:delete(k)",
   -- It has no iterator, only a list of all keys.
   count = "n = #dict:get_keys(0)",
}
