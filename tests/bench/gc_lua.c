/* gc_lua.c - runs gc.lua (first argument) with the clock, the random numbers and
   the output of bench.h; pattern and collector mode are the next two arguments. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "bench.h"

static int lua_now(lua_State *lua)
{
    lua_pushnumber(lua, bench_now());
    return 1;
}

static int lua_below(lua_State *lua)
{
    size_t n = (size_t)luaL_checkinteger(lua, 1);
    lua_pushinteger(lua, (lua_Integer)bench_below(n));
    return 1;
}

static int lua_put(lua_State *lua)
{
    bench_put(luaL_checkstring(lua, 1), luaL_checkstring(lua, 2),
              luaL_checknumber(lua, 3));
    return 0;
}

int main(int argc, char **argv)
{
    lua_State *lua = luaL_newstate();
    if (lua == NULL || argc < 4) bench_die("usage: gc_lua gc.lua PATTERN MODE");
    luaL_openlibs(lua);
    lua_register(lua, "now", lua_now);
    lua_register(lua, "below", lua_below);
    lua_register(lua, "put", lua_put);
    lua_pushboolean(lua, bench_quick());
    lua_setglobal(lua, "quick");
    if (luaL_loadfile(lua, argv[1]) != LUA_OK) bench_die(lua_tostring(lua, -1));
    lua_pushstring(lua, argv[2]);
    lua_pushstring(lua, argv[3]);
    if (lua_pcall(lua, 2, 0, 0) != LUA_OK) bench_die(lua_tostring(lua, -1));
    lua_close(lua);
    return 0;
}
