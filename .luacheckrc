std = "max" -- Lua 5.1 to 5.5 and LuaJIT
max_line_length = 120
files["spec"] = { std = "max+busted" }
files["lua/resty"] = { std = "max+ngx_lua" }
files["examples/openresty"] = { std = "max+ngx_lua" }
