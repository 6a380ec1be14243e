-- table.lua - a plain table.
return {
   settings = { D0 = "a plain table" },
   open = function()
      return { store = {} }
   end,
   set = "store[k] = v",
   get = "v = store[k]",
   remove = "store[k] = nil",
   count = "for _ in pairs(store) do n = n + 1 end",
}
