-- A handler that loops for ever on events that flood in: its full inbox stops the reading only until it is known not to come back; then the
-- other app gets every event, in order. Nothing is lost without a word: the log names the handler and says what will be.

--! exit: 1
--! allow-errors
--! timeout: 40
--! file gatehouse.lua
--| return { apps = { looper = { cpu = false, overflow = "backpressure" } } }

--! scenario
sim.on("flood", function(params, peer)
  task.spawn(function()
    for i = 1, params.count do
      sim.emit("flood", { i = i }, peer)
      if i % 500 == 0 then task.sleep(0) end
    end
  end)
  return true
end)

--! app looper
gw.on("flood", function()
  while true do end
end)

--! app other
local COUNT = 12000 -- three times what an inbox holds before it stops the reading
local last = 0

gw.on("@ready", function() gw.send("flood", { count = COUNT }) end)
gw.on("flood", function(payload)
  if payload.i ~= last + 1 then print("expected", last + 1, "got", payload.i) end
  last = payload.i
  if last == COUNT then print("all", last) end
end)

--! log: "error","app":"looper","message":"flood \(looper\.lua:\d+\) does not return: the app no longer holds up the others
--! expect looper

--! expect other
--> all	12000
