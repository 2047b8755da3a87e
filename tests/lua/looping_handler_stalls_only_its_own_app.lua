-- A handler that loops for ever: ticks and answers go on reaching the other app, and the connection stays. The log names the handler, and at
-- the end the app is left behind, which the exit status tells.

--! sim: --tick-ms 200
--! exit: 1
--! allow-errors
--! not-under: tsan
--! file gatehouse.lua
--| return { apps = { looper = { cpu = false } } }

--! scenario
sim.on("loop", function(_, peer)
  sim.emit("loop", {}, peer)
  return true
end)
sim.on("echo", function(params) return params end)
sim.on("@closed", function(peer) print("closed", peer.number) end)

--! app looper
gw.on("loop", function()
  print("looping")
  while true do end
end)

--! app other
local ticks = 0

gw.on("@ready", function() gw.send("loop") end)
gw.on("tick", function()
  ticks = ticks + 1
  if ticks == 8 then print("ticks", ticks, gw.send("echo", { n = 1 }).n) end -- four times what the watchdog would wait
end)
gw.on("@stop", function() print("stop") end)

--! log: "warn","app":"looper","message":"handler loop \(looper\.lua:\d+\) has been running at looper\.lua:\d+ for
--! expect sim
--! expect looper
--> looping

--! expect other
--> ticks	8	1

--! after SIGTERM
--! log: "error","app":"looper","message":"it did not stop in time and is left behind; it runs loop \(looper\.lua:\d+\)
--! expect other
--> stop

--! expect sim
--> closed	1
