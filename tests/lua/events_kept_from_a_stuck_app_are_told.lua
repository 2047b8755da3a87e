-- An app that never comes back fills its inbox to the limit of 64 MiB; what is kept from it then is told while it lasts, and the other app
-- misses nothing.

--! exit: 1
--! allow-errors
--! timeout: 60
--! file gatehouse.lua
--| return { apps = { looper = { cpu = false, overflow = "backpressure" } } }

--! scenario
local text = ("x"):rep(1 << 20)
local sent = 0

sim.on("flood", function(params, peer)
  task.spawn(function()
    for _ = 1, params.count do
      sent = sent + 1
      sim.emit("flood", { i = sent, text = text }, peer)
      task.sleep(0)
    end
  end)
  return true
end)

--! app looper
gw.on("flood", function()
  while true do end
end)

--! app other
local HALF = 40
local last = 0

gw.on("@ready", function() gw.send("flood", { count = HALF }) end)
gw.on("flood", function(payload)
  if payload.i ~= last + 1 then print("expected", last + 1, "got", payload.i) end
  last = payload.i
  if last == HALF then gw.send("flood", { count = HALF }) end -- read by now: the looper has lost its say
  if last == 2 * HALF then print("all", last) end
end)

--! log: "error","app":"looper","message":"its inbox is full: \d+ events were kept from it so far
--! expect looper

--! expect other
--> all	80
