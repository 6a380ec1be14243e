---@meta pkv

-- Types of the module pkv, for lua-language-server. The module itself is C and never loads this file.
-- Installed beside the other Lua files of the system, so that pointing `workspace.library` at
-- share/lua/5.4, or whatever the version, is all it takes.

-- luacheck: no unused args

---@alias pkv.IntegerType "integer" | "i64" | "u64" | "i32" | "u32" | "i16" | "u16" | "i8" | "u8"

---@alias pkv.Code
---| "not_found"  # no such store, with create = false
---| "locked"     # another process has the store open
---| "corrupt"    # a file, or a value, does not hold what was written to it
---| "key_mode"   # the store holds another kind of keys
---| "value_type" # the store, or the entry, holds another kind of values
---| "io"         # the operating system reported an error
---| "no_space"   # the disk is full
---| "no_memory"  # memory is exhausted
---| "too_large"  # a key or a value is over the limit
---| "read_only"  # an earlier flush failed
---| "closed"     # the store is closed
---| "forked"     # the store was opened by the parent process
---| "usage"      # options contradict each other, or how the store is open already

---A table that keeps its contents. Indexing it always means data. In LuaJIT it is a cdata, and integers
---that a double cannot hold are int64_t or uint64_t.
---@class pkv.Store
---@operator len: integer
---@field [string] any
---@field [integer] any

---@class pkv.Codec
---@field encode fun(value: any): string
---@field decode fun(bytes: string): any

---@class pkv.Event
---@field ordinal integer   number of the snapshot
---@field entries integer   restored, or written
---@field cut_bytes integer torn tail that was cut off the log at open
---@field seconds number
---@field message? string

---@class pkv.Options
---@field keys? "string" | pkv.IntegerType              default "string"
---@field values? "any" | "string" | pkv.IntegerType | pkv.Codec default "any"
---@field sync? "os" | "always" | "buffered" | number   default "os"; a number: seconds between flushes
---@field snapshot_interval? integer | false            writes between snapshots; false: never
---@field memory_shards? integer                        a power of two up to 1024; default 16
---@field wal_shards? integer                           up to 64; default 1
---@field snapshot_threads? integer                     up to 64; default: the processors, one less for snapshots
---@field snapshot_shard_bytes? integer                 aimed-at size of a snapshot file; default 1 GiB
---@field keep_backups? integer                         old snapshots kept; default 1
---@field wal_io? "mmap" | "pwrite"                     default: as the file system allows
---@field create? boolean                               default true
---@field on_event? fun(name: "restored" | "published" | "failed", details: pkv.Event)

---@class pkv.Stats
---@field entries integer
---@field key_bytes integer
---@field value_bytes integer
---@field memory_bytes integer
---@field memory_free_bytes integer
---@field wal_bytes integer
---@field wal_written_bytes integer
---@field snapshot_bytes integer
---@field snapshot_ordinal integer
---@field snapshots integer
---@field snapshot_failures integer
---@field flushes integer
---@field restored_entries integer
---@field cut_bytes integer
---@field restore_seconds number
---@field snapshot_seconds number
---@field memory_shards integer
---@field wal_shards integer
---@field keys "string" | pkv.IntegerType
---@field values "any" | "string" | "coded" | "message" | pkv.IntegerType
---@field sync "os" | "always" | "buffered" | "interval"
---@field wal_io "mmap" | "pwrite"
---@field read_only boolean
---@field snapshot_running boolean
---@field last_failure? string

---@class pkv.Finding
---@field kind "damaged" | "unreadable" | "torn" | "leftover" | "skipped" | "read" | "more"
---@field message string
---@field file? string
---@field offset? integer
---@field bytes? integer
---@field records? integer  "read": that were read of the file; "more": findings that are not told

---@class pkv.CheckReport
---@field sound boolean
---@field files integer
---@field records integer
---@field bytes integer
---@field damaged integer
---@field torn integer
---@field leftovers integer
---@field findings pkv.Finding[]

---@class pkv.RepairOptions
---@field output? string                   default: the path and ".repaired"
---@field in_place? boolean                default false
---@field with_backups? boolean            default false
---@field keys? "string" | pkv.IntegerType where no manifest tells

---@class pkv.RepairReport
---@field files integer
---@field records integer
---@field skipped integer       ranges without a record that can be read
---@field skipped_bytes integer
---@field missing integer       files that cannot be read
---@field manifest_lost boolean
---@field finished boolean      an earlier repair was ended, and nothing else done
---@field output string
---@field originals string
---@field findings pkv.Finding[]

---@class pkv
---@field version string
local pkv = {}

---Opens the store in a folder, creating both if need be, and restores it.
---@param path string
---@param options? pkv.Options
---@return pkv.Store? store
---@return string? message
---@return pkv.Code? code
function pkv.open(path, options) end

---The value of a key, or the default.
---@param store pkv.Store
---@param key string | integer
---@param default? any
---@return any value
---@return string? message
---@return pkv.Code? code
function pkv.get(store, key, default) end

---Sets a key to a value; nil removes it.
---@param store pkv.Store
---@param key string | integer
---@param value any
---@return true? ok
---@return string? message
---@return pkv.Code? code
function pkv.set(store, key, value) end

---Removes a key, and tells whether it was there.
---@param store pkv.Store
---@param key string | integer
---@return boolean? was_there
---@return string? message
---@return pkv.Code? code
function pkv.unset(store, key) end

---The iterator of pairs(store), also in Lua 5.1, where pairs is for tables only.
---@param store pkv.Store
---@return fun(): (string | integer | nil, any) iterator
---@return nil state
---@return nil control
---@return userdata closing
function pkv.each(store) end

---Closes the store and iterates over what was in it, giving memory back. The files stay.
---@param store pkv.Store
---@return fun(): (string | integer | nil, any) iterator
---@return nil state
---@return nil control
---@return userdata closing
function pkv.drain(store) end

---Returns once all that was written would survive a power loss.
---@param store pkv.Store
---@return true? ok
---@return string? message
---@return pkv.Code? code
function pkv.sync(store) end

---Writes a snapshot and returns once it is published.
---@param store pkv.Store
---@return true? ok
---@return string? message
---@return pkv.Code? code
function pkv.snapshot(store) end

---@param store pkv.Store
---@return pkv.Stats? stats
---@return string? message
---@return pkv.Code? code
function pkv.stats(store) end

---Closes the store. Closing again is harmless.
---@param store pkv.Store
---@return true? ok
---@return string? message
---@return pkv.Code? code
function pkv.close(store) end

---Removes all but `keep` of the old snapshots from the folder of a store that nobody has open.
---@param path string
---@param keep integer
---@return integer? removed number of files
---@return string? message
---@return pkv.Code? code
function pkv.prune_backups(path, keep) end

---Removes what snapshots that failed have left in the folder of a store that nobody has open.
---@param path string
---@return integer? removed number of files
---@return string? message
---@return pkv.Code? code
function pkv.delete_failed_pending_snapshots(path) end

---Reads all files of a store that nobody has open and tells what is wrong; changes nothing.
---@param path string
---@return pkv.CheckReport? report
---@return string? message
---@return pkv.Code? code
function pkv.check(path) end

---Salvages every record that can be read of a store that nobody has open into a sound store.
---@param path string
---@param options? pkv.RepairOptions
---@return pkv.RepairReport? report
---@return string? message
---@return pkv.Code? code
function pkv.repair(path, options) end

---Is it a store, open or closed?
---@param value any
---@return boolean
function pkv.is_store(value) end

return pkv
