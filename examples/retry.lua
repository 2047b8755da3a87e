-- Sends a message that must arrive once and only once. The same idempotencyKey goes with every try, so that the
-- gateway knows a repetition.
-- Settings: session, message.

local session = gw.app.config.session or "agent:main:main"
local message = gw.app.config.message or "Good morning"

-- gw.send itself goes on over a reconnect. What is left: refusals for now, and a gateway that is away for long.
local function send_surely(method, params, tries)
  params.idempotencyKey = params.idempotencyKey or ("%s-%d"):format(gw.app.name, os.time())
  for try = 1, tries do
    local answer, err = gw.send(method, params, { idempotent = true, wait = 60 })
    if answer or not (err.retryable or err.code == "TIMEOUT" or err.code == "DISCONNECTED") then return answer, err end
    log.info("once more", { try = try, error = tostring(err) })
    task.sleep((err.retry_after_ms or 1000 * try) / 1000)
  end
  return nil, "given up"
end

gw.once("@ready", function()
  local answer, err = send_surely("chat.send", { sessionKey = session, message = message }, 5)
  if answer then
    log.info("sent", { run = answer.runId })
  else
    log.error("not sent", err)
  end
end)
