-- luarocks make rockspec/persistent-kv-scm-1.rockspec
--
-- Builds the Lua module, the library inside it. The pkv command is a C program, which the builtin
-- build type does not make: `make install` does.
rockspec_format = "3.0"
package = "persistent-kv"
version = "scm-1"
source = { url = "git+file://." }
description = {
   summary = "A table that keeps its contents: an embedded key-value store",
   detailed = [[
      All entries live in memory; every change is first written to a log, so that a process that
      dies loses nothing it acknowledged. Stores are used like tables.]],
   license = "MIT",
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.1, < 5.6" } -- LuaJIT counts as 5.1
test_dependencies = { "busted", "luafilesystem" }
test = { type = "command", script = "spec/rock.lua" }
external_dependencies = {
   PROTOBUF_C = { header = "protobuf-c/protobuf-c.h", library = "protobuf-c" },
}
build = {
   type = "builtin",
   modules = {
      pkv = {
         -- The lists of files are kept by `make rockspec`.
         sources = {
            "src/background.c",
            "src/bytes/checksum.c",
            "src/bytes/hash.c",
            "src/cursor.c",
            "src/disk/admin.c",
            "src/disk/check.c",
            "src/disk/disk.c",
            "src/disk/examine.c",
            "src/disk/fileset.c",
            "src/disk/findings.c",
            "src/disk/group_commit.c",
            "src/disk/judge.c",
            "src/disk/log_file.c",
            "src/disk/manifest.c",
            "src/disk/manifest.pb-c.c",
            "src/disk/manifest_message.c",
            "src/disk/pipeline.c",
            "src/disk/publish.c",
            "src/disk/reader.c",
            "src/disk/record.c",
            "src/disk/repair.c",
            "src/disk/restore.c",
            "src/disk/salvage.c",
            "src/disk/salvage_plan.c",
            "src/disk/slice.c",
            "src/disk/snapshot.c",
            "src/disk/sweep.c",
            "src/disk/wal.c",
            "src/disk/wal_files.c",
            "src/integers.c",
            "src/lua/admin.c",
            "src/lua/buffer.c",
            "src/lua/cursor.c",
            "src/lua/errors.c",
            "src/lua/events.c",
            "src/lua/ffi.c",
            "src/lua/integers.c",
            "src/lua/keys.c",
            "src/lua/module.c",
            "src/lua/msgpack_read.c",
            "src/lua/msgpack_write.c",
            "src/lua/open.c",
            "src/lua/soundness.c",
            "src/lua/store_object.c",
            "src/lua/values.c",
            "src/memory/arena.c",
            "src/memory/block.c",
            "src/memory/load.c",
            "src/memory/memory.c",
            "src/memory/nodes.c",
            "src/memory/read.c",
            "src/memory/region.c",
            "src/memory/rows.c",
            "src/memory/seqlock.c",
            "src/memory/space.c",
            "src/memory/table.c",
            "src/memory/upkeep.c",
            "src/memory/walk.c",
            "src/operations.c",
            "src/os/error.c",
            "src/os/parallel.c",
            "src/os/posix.c",
            "src/os/posix_files.c",
            "src/protobuf.c",
            "src/restoring.c",
            "src/store.c",
         },
         libraries = { "protobuf-c", "pthread", "dl" },
         incdirs = { "$(PROTOBUF_C_INCDIR)" },
         libdirs = { "$(PROTOBUF_C_LIBDIR)" },
      },
      ["pkv.ffi"] = "lua/pkv/ffi.lua",
      ["pkv.meta"] = "lua/pkv/meta.lua",
      ["pkv.prometheus"] = "lua/pkv/prometheus.lua",
      ["resty.persistent_kv"] = "lua/resty/persistent_kv.lua",
   },
}
