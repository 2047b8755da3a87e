-- A handler that waits, here for an hour, on events that flood in: while nothing in its app comes to an end, its full inbox stops the
-- reading only for some seconds; then the other app gets every event, in order.

--! timeout: 40
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

--! file gatehouse.lua
--| return { apps = { sleeper = { overflow = "backpressure" } } }

--! app sleeper
local stopping = false

gw.on("flood", function()
  if stopping then return end
  local _, err = task.sleep(3600)
  stopping = err ~= nil
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

--! allow-errors
--! log: "error","app":"sleeper","message":"its handlers wait and do not come to an end: the app no longer holds up the others
--! expect sleeper

--! expect other
--> all	12000
