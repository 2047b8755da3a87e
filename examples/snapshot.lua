-- Reads agents and sessions side by side after every connect: what came while there was none is in there.

gw.on("@ready", function()
  local got, err = task.all {
    agents = function() return gw.send("agents.list", {}) end,
    sessions = function() return gw.send("sessions.list", {}) end,
  }
  if not got then return log.warn("no snapshot", err) end
  log.info("snapshot", { agents = #got.agents.agents, sessions = #got.sessions.sessions })
end)
