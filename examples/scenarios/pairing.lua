-- A gateway that knows nobody: a new device waits until it is approved, here after three seconds. `gatehouse run` looks
-- again every half minute, and at once on SIGHUP.
--
--     gatehouse sim examples/scenarios/pairing.lua
sim.pairing(true)

timer.every(3, function()
  local count = sim.approve()
  if count > 0 then log.info("approved", { devices = count }) end
end)
