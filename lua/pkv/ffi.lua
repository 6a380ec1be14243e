--- The store for the compiler of LuaJIT: a cdata, whose metamethods call src/lua/ffi.c through the FFI
-- library. The module loads this file itself. What is told AGAIN, and all that is not here, is done by
-- the module's C functions, which take the cdata for its userdata by way of the hooks below.
--
-- A finalizer that uses a store may run anywhere between what stands here: compiled code may be left
-- at any guard, and a collection is driven on at the exit. So whoever uses `exchange` takes a ticket
-- first; a call that has another than the last one does nothing and says AGAIN, and what was taken out
-- counts only if the ticket is still the last.
--
-- Functions take `...` and no parameters, since the compiler then never begins a trace with them. It
-- would, where one is called several times in a round of a loop, and fail at the return from a
-- metamethod, until it gives the function up for good.
local has_ffi, ffi = pcall(require, "ffi")

-- As in src/lua/ffi.c.
local ABSENT, NUMBER, INT64, UINT64, TRUE, FALSE, ENCODED, ENTRY, AGAIN, FAILED =
   -1, -2, -3, -4, -5, -6, -7, -8, -9, -10

local INTERFACE = [[
   struct {
      int32_t size;
      int32_t (*get)(const void *store, void *exchange, double ticket, const char *key,
                     int32_t key_kind);
      int32_t (*set)(const void *store, void *exchange, double ticket, const char *key,
                     int32_t key_kind, const char *value, int32_t kind);
      int32_t (*unset)(const void *store, void *exchange, double ticket, const char *key,
                       int32_t key_kind);
      double (*count)(const void *store);
      int32_t (*next)(const void *iterator, void *exchange, double ticket);
      struct {
         double ticket, key_number, number;
         int64_t key_integer, integer;
         int32_t key_kind, type, size;
         char key[4096], value[32768];
      } exchange;
   }]]

-- What a program holds. Indexing it always means data, so its fields have no names: they are found by
-- casting its address to a pointer to `struct { void *address; }`. (Equal texts would do for two types,
-- but not under busted, which makes one type of them.)
local STORE, ITERATOR = "struct { int :32; int :32; }", "struct { int :32, :32; }"

--- Makes what the program's stores are, once for a Lua state. Returns the functions to be put into the
-- module, whose own are in `pkv`.
local function use(pkv, internals)
   local cast, istype, new, ffi_string, type = ffi.cast, ffi.istype, ffi.new, ffi.string, type
   local int64, uint64 = ffi.typeof "int64_t", ffi.typeof "uint64_t"
   local object_pointer = ffi.typeof "struct { void *address; } *"

   local interface = cast(ffi.typeof(INTERFACE .. "*"), internals.interface)
   if interface.size ~= ffi.sizeof(INTERFACE) then
      error "pkv/ffi.lua and the module pkv are of different versions"
   end
   local exchange = interface.exchange
   local key_bytes, value_bytes = cast("const char *", exchange.key), cast("const char *", exchange.value)
   local lib_get, lib_set, lib_unset = interface.get, interface.set, interface.unset
   local lib_count, lib_next = interface.count, interface.next

   -- The owner of each object, by its address: a store's userdata, an iterator's function.
   local owners = {}
   local function address_of(...) return tonumber(cast("uintptr_t", cast("void *", (...)))) end

   local function make(...)
      local object, owner, userdata = ...
      cast(object_pointer, object).address = userdata
      owners[address_of(object)] = owner
      return object
   end

   local function collect(...)
      local object = ...
      cast(object_pointer, object).address = nil
      owners[address_of(object)] = nil
   end

   local function take_ticket(...)
      local from = ...
      local ticket = from.ticket + 1
      from.ticket = ticket
      return ticket
   end

   -- Keys and values as the two arguments that stand for them in a call.

   local function key_arguments(...)
      local key = ...
      local kind = type(key)
      if kind == "string" then return key, #key end
      if kind == "number" then
         exchange.key_number = key
         return nil, NUMBER
      end
      if istype(int64, key) then
         exchange.key_integer = key
         return nil, INT64
      end
      if istype(uint64, key) then
         exchange.key_integer = key
         return nil, UINT64
      end
      return nil, AGAIN
   end

   local function value_arguments(...)
      local value = ...
      local kind = type(value)
      if kind == "string" then return value, #value end
      if kind == "number" then
         exchange.number = value
         return nil, NUMBER
      end
      if kind == "boolean" then return nil, value and TRUE or FALSE end
      if istype(int64, value) then
         exchange.integer = value
         return nil, INT64
      end
      if istype(uint64, value) then
         exchange.integer = value
         return nil, UINT64
      end
      return nil, AGAIN
   end

   --- The value that a call has given, if its kind is one of these.
   local function value_of(...)
      local kind = ...
      if kind >= 0 then return ffi_string(value_bytes, kind) end
      if kind == NUMBER then return exchange.number end
      if kind == TRUE then return true end
      if kind == FALSE then return false end
      if kind == INT64 then return exchange.integer end
      return cast(uint64, exchange.integer)
   end

   local store_type
   local functions = {}
   local c_get, c_set, c_unset, c_close = pkv.get, pkv.set, pkv.unset, pkv.close
   local c_index, c_newindex = internals.metamethods.__index, internals.metamethods.__newindex
   local c_len = internals.metamethods.__len
   local decode, failed, raise = internals.decode, internals.failed, internals.raise

   function functions.get(...)
      local store, key, default = ...
      if not istype(store_type, store) then return c_get(...) end
      local ticket = take_ticket(exchange)
      local kind = lib_get(store, exchange, ticket, key_arguments(key))
      if kind == ABSENT then return default end
      if kind == ENCODED then return decode(store, key, ticket) end
      if kind > ENCODED then
         local value = value_of(kind)
         if exchange.ticket == ticket then return value end
      end
      return c_get(...)
   end

   function functions.set(...)
      local store, key, value = ...
      if not istype(store_type, store) or type(value) == "nil" then return c_set(...) end
      local ticket = take_ticket(exchange)
      local text, kind = value_arguments(value)
      local key_text, key_kind = key_arguments(key)
      local done = lib_set(store, exchange, ticket, key_text, key_kind, text, kind)
      if done == TRUE then return true end
      if done <= FAILED then return failed(FAILED - done) end
      return c_set(...)
   end

   function functions.unset(...)
      local store, key = ...
      if not istype(store_type, store) then return c_unset(...) end
      local done = lib_unset(store, exchange, take_ticket(exchange), key_arguments(key))
      if done == TRUE then return true end
      if done == FALSE then return false end
      if done <= FAILED then return failed(FAILED - done) end
      return c_unset(...)
   end

   --- A store is kept alive by its functions, if these refer to it: until it is closed.
   function functions.close(...)
      local store = ...
      if not istype(store_type, store) then return c_close(...) end
      local ok, message, code = c_close(store)
      local owner = internals.closed(owners[address_of(store)] or internals.collected)
      make(store, owner, owner)
      if ok then return ok end
      return ok, message, code
   end

   local metamethods = { __gc = collect, __pairs = internals.metamethods.__pairs,
                         __tostring = internals.metamethods.__tostring }

   function metamethods.__index(...)
      local store, key = ...
      local ticket = take_ticket(exchange)
      local kind = lib_get(store, exchange, ticket, key_arguments(key))
      if kind == ABSENT then return nil end
      if kind == ENCODED then return decode(store, key, ticket, true) end
      if kind > ENCODED then
         local value = value_of(kind)
         if exchange.ticket == ticket then return value end
      end
      return c_index(store, key)
   end

   function metamethods.__newindex(...)
      local store, key, value = ...
      local ticket = take_ticket(exchange)
      local done
      if type(value) == "nil" then
         done = lib_unset(store, exchange, ticket, key_arguments(key))
      else
         local text, kind = value_arguments(value)
         local key_text, key_kind = key_arguments(key)
         done = lib_set(store, exchange, ticket, key_text, key_kind, text, kind)
      end
      if done == TRUE or done == FALSE then return end
      if done <= FAILED then return raise(FAILED - done) end
      return c_newindex(store, key, value)
   end

   function metamethods.__len(...)
      local store = ...
      local count = lib_count(store)
      if count >= 0 then return count end
      return c_len(store)
   end

   store_type = ffi.metatype(STORE, metamethods)

   local iterator_type = ffi.metatype(ITERATOR, { __gc = collect, __call = function(...)
      local iterator = ...
      local ticket = take_ticket(exchange)
      local kind = lib_next(iterator, exchange, ticket)
      if kind == ABSENT then return nil end
      if kind == AGAIN then return owners[address_of(iterator)]() end
      if kind ~= ENTRY then
         local key_kind = exchange.key_kind
         local key
         if key_kind >= 0 then
            key = ffi_string(key_bytes, key_kind)
         elseif key_kind == NUMBER then
            key = exchange.key_number
         else
            key = exchange.key_integer
            if key_kind == UINT64 then key = cast(uint64, key) end
         end
         local value = value_of(kind)
         if exchange.ticket == ticket then return key, value end
      end
      return internals.entry(owners[address_of(iterator)], ticket)
   end })

   local hook = internals.hook

   hook("pkv.wrap_store", function(...)
      local userdata = ...
      return make(new(store_type), userdata, userdata)
   end)
   hook("pkv.unwrap_store", function(...)
      local object = ...
      if not istype(store_type, object) then return object end
      return owners[address_of(object)] or internals.collected
   end)
   hook("pkv.wrap_iterator", function(...)
      local step, cursor = ...
      return make(new(iterator_type), step, cursor)
   end)

   hook("pkv.make_integer", function(...)
      local high, low, is_unsigned = ...
      local integer = cast(uint64, high) * 2 ^ 32 + low
      return is_unsigned and integer or cast(int64, integer)
   end)
   hook("pkv.take_integer", function(...)
      local integer = ...
      local is_unsigned = istype(uint64, integer)
      if not is_unsigned and not istype(int64, integer) then return nil end
      local bits = cast(uint64, integer)
      return tonumber(bits / 2 ^ 32), tonumber(bits % 2 ^ 32), is_unsigned
   end)

   return functions
end

return has_ffi and use or function() return {} end
