-- Restarts every ten seconds, as a gateway does that gets SIGTERM: the event `shutdown`, close 1012, and for half a
-- second it is starting.
--
--     gatehouse sim examples/scenarios/restart.lua
timer.every(10, function()
  sim.next { refuse = "starting" }
  sim.shutdown("restarting")
end)
