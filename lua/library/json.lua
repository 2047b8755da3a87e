---@meta
-- JSON, strict and exact: the codec that events and params go through.
--
-- Integers stay integers over the whole of 64 bits; numbers with fraction or exponent, and larger ones, are floats. An array is a table that carries a mark, so
-- that `[]` stays `[]` when it is encoded again. Of duplicate keys the last one counts. `require "cjson"` gives lua-cjson, for scripts that use it.
json = {}

---Reads a text.
---
---```lua
---local value, err = json.decode('{"n": 9007199254740993}')
---```
---@param text string  one value, UTF-8
---@return any value
---@return gw.Error? err  `BAD_JSON`, with line and column in the message
function json.decode(text) end

---Writes a value. Tables with keys 1..n are arrays, others objects; an empty table is an object, unless json.array marked it. Metamethods are not called.
---
---```lua
---local text = json.encode { name = "a", tags = json.array {} } --> {"name":"a","tags":[]}, in some order
---```
---@param value any
---@return string? text
---@return gw.Error? err  `BAD_VALUE`, with the path of what has no JSON form in the message
function json.encode(value) end

---Marks a table as an array, also when it is empty.
---
---```lua
---gw.send("sessions.patch", { key = key, tags = json.array(tags) })
---```
---@param t? table  a new one by default. It must have no other metatable
---@return table t
function json.array(t) end

---What JSON's `null` is in Lua, since nil in a table would be no member at all. The same value as `cjson.null`. It counts as true: compare with it.
---
---```lua
---if payload.parent ~= json.null then describe(payload.parent) end
---```
---@type lightuserdata
json.null = nil
