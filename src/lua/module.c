/* module.c - the table that require "pkv" returns. */
#include "binding.h"

static const luaL_Reg functions[] = {
    {"open", lpkv_open},
    {"get", lpkv_get},
    {"set", lpkv_set},
    {"unset", lpkv_unset},
    {"each", lpkv_each},
    {"sync", lpkv_sync},
    {"snapshot", lpkv_snapshot},
    {"stats", lpkv_stats},
    {"drain", lpkv_drain},
    {"close", lpkv_close},
    {"prune_backups", lpkv_prune_backups},
    {"delete_failed_pending_snapshots", lpkv_delete_failed_pending_snapshots},
    {"check", lpkv_check},
    {"repair", lpkv_repair},
    {"is_store", lpkv_is_store},
    {NULL, NULL},
};

PKV_API int luaopen_pkv(lua_State *L);

PKV_API int luaopen_pkv(lua_State *L) {
    lpkv_register_store(L);
    lpkv_register_cursor(L);
    lpkv_register_buffer(L);
    lpkv_register_findings(L);
    lua_newtable(L);
    lpkv_set_functions(L, "pkv.", functions);
    lua_pushliteral(L, PKV_VERSION);
    lua_setfield(L, -2, "version");
    lpkv_use_ffi(L);
    return 1;
}
