-- Faults that are set up beforehand: for the next connections (sim.next) and for the answers to a method (sim.answer).
-- Those that are done to a connection at once are methods of the peer.
local check = require "gatehouse.sim.check"

local Faults = {}
Faults.__index = Faults

-- --- the next connections ------------------------------------------------------------------------------------------

local next_options = {
  times = "number",
  http = "number",
  body = "string",
  challenge = "boolean",
  challenge_after = "number",
  close = "number",
  reason = "string",
  drop = "boolean",
  silent = "boolean",
  split = "boolean",
  refuse = "string table",
  retry_after_ms = "number",
}

local refusals = {
  pairing = function(gateway, params)
    return gateway.devices:refusal(params.device and params.device.id or "no device")
  end,
  rate_limited = function(_, _, retry_after_ms)
    return {
      code = "INVALID_REQUEST",
      message = "unauthorized: too many failed authentication attempts (retry later)",
      details = {
        code = "AUTH_RATE_LIMITED",
        authReason = "rate_limited",
        canRetryWithDeviceToken = false,
        recommendedNextStep = "wait_then_retry",
      },
      retryable = true,
      retryAfterMs = retry_after_ms or 1000,
    }
  end,
  starting = function(_, _, retry_after_ms)
    return {
      code = "UNAVAILABLE",
      message = "gateway starting; retry shortly",
      details = { reason = "startup-sidecars" },
      retryable = true,
      retryAfterMs = retry_after_ms or 500,
    }, 1013
  end,
  token = function()
    return {
      code = "INVALID_REQUEST",
      message = "unauthorized: gateway token mismatch (provide gateway auth token)",
      details = {
        code = "AUTH_TOKEN_MISMATCH",
        authReason = "token_mismatch",
        canRetryWithDeviceToken = false,
        recommendedNextStep = "update_auth_credentials",
      },
    }
  end,
}

local nothing = {}

function Faults:next(options)
  options = check.options("sim.next", 1, options, next_options)
  local named = options.refuse
  if type(named) == "string" and not refusals[named] then
    local names = "\"pairing\", \"rate_limited\", \"starting\" and \"token\", or the error itself"
    error(("bad argument #1 to 'sim.next' (option 'refuse': known are %s)"):format(names), 2)
  end
  local times = options.times or 1
  if options.http then return self.raw.refuse(options.http, options.body or "", times) end
  for _ = 1, times do self.queue[#self.queue + 1] = options end
end

-- What is to go wrong with the connection that just came.
function Faults:take()
  return table.remove(self.queue, 1) or nothing
end

-- The error and close code that a connect is answered with although nothing is wrong with it; nil for none.
function Faults.refusal(gateway, fault, params)
  local refuse = fault.refuse
  if not refuse then return end
  if type(refuse) == "table" then return refuse, fault.close end
  local err, code = refusals[refuse](gateway, params, fault.retry_after_ms)
  return err, fault.close or code
end

-- --- answers -------------------------------------------------------------------------------------------------------

local answer_options = {
  times = "number",
  never = "boolean",
  late = "number",
  twice = "boolean",
  unknown_id = "boolean",
  error = "table",
}

function Faults:answer(method, options)
  check.type("sim.answer", 1, method, "string")
  if options == nil then
    self.answers[method] = nil
    return
  end
  options = check.options("sim.answer", 2, options, answer_options)
  self.answers[method] = { options = options, left = options.times or 1 }
end

-- What is to go wrong with the answer to this request.
function Faults:take_answer(method)
  local entry = self.answers[method]
  if not entry then return nothing end
  entry.left = entry.left - 1
  if entry.left <= 0 then self.answers[method] = nil end
  return entry.options
end

return function(raw)
  return setmetatable({ raw = raw, queue = {}, answers = {} }, Faults)
end
