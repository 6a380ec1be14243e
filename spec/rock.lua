-- rock.lua - what `luarocks test` runs: the specs that take nothing but the module.
local SPECS = { "ffi", "golden", "keys", "lua_contract", "lua_lifetime", "open", "prometheus", "property", "values" }

for i = 1, math.max(#arg, #SPECS) do
   arg[i] = SPECS[i] and ("spec/%s_spec.lua"):format(SPECS[i]) -- luacheck: ignore
end
require "busted.runner" { standalone = false }
