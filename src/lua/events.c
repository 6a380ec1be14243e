/* events.c - on_event.
 *
 * The store's background thread never runs Lua. What it has to tell waits in the C library until
 * the program's next call, which hands it on after its own work is done. */
#include <string.h>

#include "binding.h"

/* So many at once: a handler that causes events must not keep its caller forever. */
#define EVENTS_AT_ONCE 64

static const char *event_name(pkv_event_kind kind) {
    switch (kind) {
    case PKV_EVENT_RESTORED:
        return "restored";
    case PKV_EVENT_PUBLISHED:
        return "published";
    case PKV_EVENT_FAILED:
        return "failed";
    }
    return "unknown";
}

static void set_count(lua_State *L, const char *name, uint64_t number) {
    lpkv_push_count(L, number);
    lua_setfield(L, -2, name);
}

/* In a protected call: the handler with its two arguments made here, as making them may fail. */
static int call_handler(lua_State *L) {
    const pkv_event *event = lua_touserdata(L, 2);
    lpkv_push_slot(L, LPKV_ON_EVENT);
    lua_pushstring(L, event_name(event->kind));
    lua_createtable(L, 0, 5);
    set_count(L, "ordinal", event->ordinal);
    set_count(L, "entries", event->entries);
    set_count(L, "cut_bytes", event->cut_bytes);
    lua_pushnumber(L, event->seconds);
    lua_setfield(L, -2, "seconds");
    if (event->message[0] != '\0') {
        lua_pushstring(L, event->message);
        lua_setfield(L, -2, "message");
    }
    lua_call(L, 2, 0);
    return 0;
}

bool lpkv_run_events(lua_State *L, lpkv_store *store) {
    pkv_event event;
    if (store->delivering) return true;
    for (int i = 0; i < EVENTS_AT_ONCE; i++) {
        /* The handler may have closed the store. */
        if (!store->handle) return true;
        if (pkv_next_event(store->handle, &store->seen, &event)) return true;
        luaL_checkstack(L, 4, "no room to call on_event");
        lua_pushcfunction(L, call_handler);
        lua_pushvalue(L, 1);
        lua_pushlightuserdata(L, &event);
        store->delivering = true;
        int failed = lua_pcall(L, 2, 0, 0);
        store->delivering = false;
        if (failed) return false;
    }
    return true;
}
