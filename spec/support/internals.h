/* internals.h - what the files of the test-only Lua module pkv_internals share. */
#ifndef PKV_INTERNALS_H
#define PKV_INTERNALS_H

#include <stdbool.h>
#include <lauxlib.h>
#include <lua.h>
#include "../../src/pkv.h"
#include "../../src/os/visibility.h"

/* Pushes nil, message, name of the code, file, errno: this thread's last failure. */
int push_failure(lua_State *L);
/* The field of the table at index 1, or the default where it is absent. */
lua_Integer integer_field(lua_State *L, const char *name, lua_Integer absent);
/* The bytes stay valid as long as the table holds them. */
pkv_bytes bytes_field(lua_State *L, const char *name, bool *found);

extern const luaL_Reg internals_of_records[];
extern const luaL_Reg internals_of_files[];
extern const luaL_Reg internals_of_manifests[];

#include "../../src/os/visibility_end.h"
#endif
