-- Tells when a run of an agent fails, with what the gateway knows of its session.

local function failed(payload)
  return payload.stream == "lifecycle" and payload.data.phase == "error"
end

gw.on("agent", function(payload)
  if not failed(payload) then return end
  local answer, err = gw.send("sessions.describe", { key = payload.sessionKey })
  log.warn("a run failed", {
    run = payload.runId,
    session = payload.sessionKey,
    reason = payload.data.error,
    describe = answer and answer.session or tostring(err),
  })
end)
