-- With `concurrency = 2` two events are handled at a time, and a third one only when one of them is done.

--! scenario
local asked = 0

sim.on("start", function(_, peer)
  for n = 1, 4 do sim.emit("work", { n = n }, peer) end
  return true
end)

sim.on("pair", function() -- is answered when two wait for it
  asked = asked + 1
  local both = asked + asked % 2
  while asked < both do task.sleep(0.01) end
  return true
end)

--! app app
local at_work, most, done = 0, 0, 0

gw.on("@ready", function() gw.send("start") end)

gw.on("work", function()
  at_work = at_work + 1
  most = math.max(most, at_work)
  assert(gw.send("pair"))
  at_work, done = at_work - 1, done + 1
  if done == 4 then print("at a time", most) end
end, { concurrency = 2 })

--! expect app
--> at a time	2
