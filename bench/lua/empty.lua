-- empty.lua - no store: an object whose metamethods are C functions that only push as many bytes as a
-- value has. The least that any binding costs.
return {
   settings = { D0 = "C metamethods that do nothing" },
   open = function()
      return { store = require("bench_c").empty(100) }
   end,
   set = "store[k] = v",
   get = "v = store[k]",
}
