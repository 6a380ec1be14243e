-- pkv.lua - this store.
local sync = { D0 = "buffered", D1 = "os", D2 = "always" }
return {
   settings = {
      D0 = 'defaults but sync = "buffered"',
      D1 = "defaults",
      D2 = 'defaults but sync = "always"',
   },
   open = function(folder, class)
      return { store = assert(require("pkv").open(folder, { sync = sync[class] })) }
   end,
   close = function(names)
      require("pkv").close(names.store)
   end,
   set = "store[k] = v",
   get = "v = store[k]",
   remove = "store[k] = nil",
   count = "for _ in pairs(store) do n = n + 1 end",
}
