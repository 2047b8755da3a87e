-- Loads modules in C.
--! held
--! sandbox
gw.on("go." .. gw.app.name, function()
  assert(not pcall(require, "cjson") and not pcall(require, "lsqlite3"))
  assert(not pcall(package.loadlib, "libc.so.6", "*") and not pcall(package.searchpath, "cjson", "/?"))
  assert(not package.cpath and not package.path and #package.searchers == 3)
  package.cpath, package.path = "/usr/lib/x86_64-linux-gnu/lua/5.4/?.so", "/usr/share/lua/5.4/?.lua;/etc/?"
  assert(not pcall(require, "cjson") and not pcall(require, "passwd"))
  assert(require "json" == json)
  print("held")
end)

--> held
