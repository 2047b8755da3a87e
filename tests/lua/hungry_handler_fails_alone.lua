-- Memory has a limit per app: going over it is an error in that handler. The app goes on, and so does the host.

--! allow-errors
--! file gatehouse.lua
--| return { apps = { hungry = { memory = "32MiB", cpu = false } } }

--! scenario
sim.on("feed", function(_, peer)
  sim.emit("feed", {}, peer)
  return true
end)

--! app hungry
gw.on("@ready", function() gw.send("feed") end)

gw.on("feed", function()
  print("begin")
  local hoard = {}
  while true do hoard[#hoard + 1] = ("x"):rep(1 << 16) .. #hoard end
end)
gw.on("feed", function() print("next handler", gw.send("health").ok) end)

--! app other
gw.on("feed", function() print("fed", gw.send("health").ok) end)

--! log: "error","app":"hungry","message":"feed \(hungry\.lua:16\) failed: .*not enough memory \(the app has \d+ of its 32 MiB
--! expect hungry
--> begin
--> next handler	true

--! expect other
--> fed	true
