-- Keeps the order of events within a session and handles different sessions side by side: a slow one holds up no other.

local function session_of(payload)
  return payload.sessionKey
end

gw.on("chat", function(payload, event)
  if payload.state ~= "final" then return end
  task.sleep(0.2) -- stands for slow work: a request, a file
  log.info("final", { session = payload.sessionKey, seq = event.seq })
end, { key = session_of })
