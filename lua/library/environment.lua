---@meta
-- What differs from a plain Lua 5.4.
--
-- **Globals are strict.** Reading a name that nobody defined raises, with file and line. So does assigning to one, in the main chunk as well as in a function: write `local`.
-- `rawset(_G, name, value)` says that it is meant. Names that modules probe for because other versions of Lua have them (`unpack`, `setfenv`, `jit`, …) read as nil.
--
-- **require** looks in the app's own folder (`a.b` is `a/b.lua` or `a/b/init.lua`), then among what ships with the host, then where Lua looks on this system
-- (`package.path`, `package.cpath`), which is where lua-cjson is. The modules `gw`, `task`, `timer`, `log` and `json` are loaded already, as `string` and
-- `table` are: an app's file of such a name is not found. With `gatehouse.` in front a name means what ships.
--
-- **Source text only.** `load`, `loadfile`, `dofile` and `require` refuse bytecode, whatever their mode says: it is not verified. `loadfile` and `dofile` want a file name.
--
-- **Refused**: `os.exit` and `os.setlocale` with a locale (they belong to the whole process), and of `debug` everything but `traceback`, `getinfo` and `getlocal`,
-- which show of functions in C no more than their names. `coroutine.resume` and `coroutine.close` refuse the coroutine of a task: it goes on when what it waits for is there.
-- `io`, `os.execute` and C modules are there; what they wait for, the app waits for.

---Writes its arguments to the log, at level info, with tabs between them.
---@param ... any
function print(...) end
