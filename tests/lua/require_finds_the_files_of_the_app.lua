-- First the app's own folder, whatever the working directory is, then what ships, then the system's: lua-cjson.

--! app shop/
local words = require "words"
local deep = require "parts.deep"
local folder = require "parts"

print(words.hello, deep.name, folder.name, require "words" == words)
print((gw.read_file("data/list.txt"):match("^[^\n]*")))
print(select(2, gw.read_file("../elsewhere")).code, select(2, gw.read_file("no/such")).code)
print(require "cjson".encode { 1, 2 }, require "cjson".null == json.null)
print(select(2, pcall(require, "no_such_module")):match("^[^\n]*"))
gw.on("@ready", function() print("ready") end)
print(gw.app.name, gw.app.generation, gw.app.config.limit)

--! file shop/words.lua
--| return { hello = "hello" }

--! file shop/parts/deep.lua
--| return { name = ... }

--! file shop/parts/init.lua
--| return { name = ... }

--! file shop/data/list.txt
--| one line

--! file gatehouse.lua
--| return { apps = { shop = { config = { limit = 7 } } } }

--! expect shop
--> hello	parts.deep	parts	true
--> one line
--> BAD_PATH	NOT_FOUND
--> [1,2]	true
--> module 'no_such_module' not found:
--> shop	1	7
--> ready
