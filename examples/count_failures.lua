-- Counts failed runs, in all and by session, over restarts: what is in gw.state is there again.

gw.state.failures = gw.state.failures or 0
gw.state.sessions = gw.state.sessions or {}

gw.on("@start", function()
  log.info("failures so far", { count = gw.state.failures })
end)

gw.on("agent", function(payload)
  if payload.stream ~= "lifecycle" or payload.data.phase ~= "error" then return end
  local sessions = gw.state.sessions
  gw.state.failures = gw.state.failures + 1
  sessions[payload.sessionKey] = (sessions[payload.sessionKey] or 0) + 1
  log.info("failure", { count = gw.state.failures, of_session = sessions[payload.sessionKey] })
end)
