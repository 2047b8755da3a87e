-- With backpressure: 20000 numbered events for a handler that is slow to begin and slower than the gateway. Reading stops at the
-- high-water mark, goes on, and every event arrives, in order.

--! scenario
sim.on("flood", function(_, peer)
  local filler = ("x"):rep(500)
  for n = 1, 20000 do sim.emit("drop", { n = n, filler = filler }, peer) end
  return true
end)

--! file gatehouse.lua
--| return { apps = { app = { overflow = "backpressure" } } }

--! app app
local next_n, in_order = 1, true

gw.on("@ready", function() gw.send("flood", {}, { timeout = 60 }) end)
gw.on("@gap", function() print("gap") end)
gw.on("@closed", function() print("closed") end)

gw.on("drop", function(payload)
  if payload.n == 1 then
    local before = os.clock()
    while os.clock() - before < 0.3 do end -- the inbox fills over its mark meanwhile
  end
  in_order = in_order and payload.n == next_n
  next_n = next_n + 1
  if payload.n % 1000 == 0 then task.sleep(0.001) end
  if payload.n == 20000 then print("all", next_n - 1, in_order) end
end)

--! expect app
--> all	20000	true
