-- use.lua FOLDER - the least that an installed module must be able to do.
local pkv = require "pkv"
local folder = arg[1]

local store = assert(pkv.open(folder))
store.answer = { 42, "forty-two" }
assert(pkv.close(store))

store = assert(pkv.open(folder))
assert(store.answer[1] == 42 and store.answer[2] == "forty-two" and #store == 1)
assert(require "pkv.prometheus"(store):find "\npkv_entries 1\n")
assert(require "resty.persistent_kv".new)
assert(pkv.close(store))
print(("the module works: pkv %s, %s, %s"):format(pkv.version, _VERSION, type(store)))
