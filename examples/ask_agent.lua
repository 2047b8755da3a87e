-- Asks an agent something. The gateway answers `agent` twice: that it has begun, and, much later, what came out.
-- Settings: session, message.

local session = gw.app.config.session or "agent:main:main"
local message = gw.app.config.message or "What is the time?"

gw.once("@ready", function()
  local answer, err = gw.send("agent", { sessionKey = session, message = message }, {
    idempotent = true, -- a reconnect meanwhile does not ask twice
    final = true,
    on_accepted = function(first) log.info("it works on it", { run = first.runId }) end,
    timeout = 600,
  })
  if not answer then return log.error("no answer", err) end
  log.info("answered", { status = answer.status, run = answer.runId })
end)
