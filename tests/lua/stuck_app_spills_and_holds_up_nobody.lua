-- A handler that loops for ever on events that flood in, 80 MiB of them: all of them wait on the disk, the reading does not stop, and the
-- other app misses nothing.

--! exit: 1
--! allow-errors
--! timeout: 60
--! file gatehouse.lua
--| return { apps = { looper = { cpu = false } } }

--! scenario
local text = ("x"):rep(1 << 20)

sim.on("flood", function(params, peer)
  task.spawn(function()
    for i = 1, params.count do
      sim.emit("flood", { i = i, text = text }, peer)
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
local COUNT = 80
local last = 0

gw.on("@ready", function() gw.send("flood", { count = COUNT }) end)
gw.on("flood", function(payload)
  if payload.i ~= last + 1 then print("expected", last + 1, "got", payload.i) end
  last = payload.i
  if last == COUNT then print("all", last) end
end)

--! log: "warn","app":"looper","message":"it does not keep up: \d+ messages wait, and \d+ more beyond them
--! not-log: kept from it
--! not-log: nothing is read from the gateway
--! expect looper

--! expect other
--> all	80
