-- What is pending when the connection is lost fails at once, and tells whether the gateway had got it: 128 requests are under way at a
-- time, the others wait in line in the host.

--! scenario
local count, most = 0, 0

sim.on("never", function(_, peer)
  count = count + 1
  most = math.max(most, count)
  if count == 128 then timer.after(0.1, function() peer:drop() end) end -- would more come, they came by then
  task.sleep(3600)
  return true
end)

sim.on("@closed", function() print("at a time", most) end)

--! app app
local ended = { [true] = 0, [false] = 0 }

local function ask()
  local before = gw.now()
  local _, err = gw.send("never")
  assert(err.code == "DISCONNECTED", tostring(err))
  assert(gw.now() - before < 20) -- and not when its time was over
  ended[err.sent] = ended[err.sent] + 1
  if ended[true] + ended[false] == 130 then print("sent", ended[true], "not sent", ended[false]) end
end

gw.once("@ready", function()
  for _ = 1, 130 do task.spawn(ask) end
end)

--! expect sim
--> at a time	128

--! expect app
--> sent	128	not sent	2
