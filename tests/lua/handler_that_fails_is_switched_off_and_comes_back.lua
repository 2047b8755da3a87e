-- After some failures in a row a handler is left alone for a while, its events are counted as skipped, and one success lifts that. Others
-- of the same event, and of the host, are called all the time.

--! allow-errors
--! file gatehouse.lua
--| return { apps = { app = { quarantine = 3 }, never = { quarantine = false } } }

--! scenario
sim.on("play", function(params, peer)
  for n = params.from, params.to do sim.emit("step", { n = n }, peer) end
  return true
end)

--! app app
local broken = true
gw.on("step", function(payload)
  if broken then error("broken at " .. payload.n) end
  print("works", payload.n)
end)
gw.on("step", function(payload)
  print("other", payload.n)
  if payload.n ~= 5 then return end
  broken = false
  task.sleep(1.1) -- it is off for a second
  gw.send("play", { from = 6, to = 7 })
end)
gw.on("@ready", function() gw.send("play", { from = 1, to = 5 }) end)

--! app never
gw.on("step", function(payload) error("never at " .. payload.n) end)

--! log: "warn","app":"app","message":"step \(app\.lua:16\) failed 3 times in a row: switched off for 1 s; its events are skipped"
--! log: "error","app":"never","message":"step \(never\.lua:\d+\) failed: .*never at 7"
--! not-log: broken at 4
--! not-log: "app":"never","message":"step.*switched off
--! expect app
--> other	1
--> other	2
--> other	3
--> other	4
--> other	5
--> works	6
--> step (app.lua:16) works again; 2 events were skipped
--> works	7
--> other	6
--> other	7
