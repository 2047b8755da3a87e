-- 40000 numbered events for a handler that is much slower than the gateway: they wait on the disk, reading goes on, the other app gets
-- every event long before, and the slow one gets every event too, in order.

--! timeout: 60
--! scenario
local is_done = false

sim.on("is_done", function() return is_done end)
sim.on("done", function()
  is_done = true
  return true
end)
sim.on("flood", function(_, peer)
  task.spawn(function()
    local filler = ("x"):rep(200)
    for n = 1, 40000 do
      sim.emit("drop", { n = n, filler = filler }, peer)
      if n % 500 == 0 then task.sleep(0) end
    end
  end)
  return true
end)

--! app slow
local next_n, in_order = 1, true

gw.on("@gap", function() print("gap") end)
gw.on("@closed", function() print("closed") end)
gw.on("drop", function(payload)
  in_order = in_order and payload.n == next_n
  next_n = next_n + 1
  if payload.n == 1 then
    while not gw.send("is_done", {}) do task.sleep(0.01) end -- the answers overtake the events
    task.sleep(2) -- and then it is seen to be slow
  end
  if payload.n == 40000 then print("all", next_n - 1, in_order) end
end)

--! app fast
local count, in_order = 0, true

gw.on("@ready", function() gw.send("flood", {}, { timeout = 60 }) end)
gw.on("drop", function(payload)
  count = count + 1
  in_order = in_order and payload.n == count
  if count == 40000 then
    print("all", count, in_order)
    gw.send("done")
  end
end)

--! log: "warn","app":"slow","message":"it does not keep up: \d+ messages wait, and \d+ more beyond them \(\d+ KiB on the disk\)
--! not-log: nothing is read from the gateway
--! expect fast
--> all	40000	true

--! expect slow
--> all	40000	true
