-- Code, message, details, retryable and retryAfterMs arrive under the names that Lua uses; as text it is a sentence.

--! scenario
sim.on("refuse", function()
  return nil, {
    code = "UNAVAILABLE",
    message = "try later",
    details = { code = "BUSY", queue = { 1, 2 } },
    retryable = true,
    retryAfterMs = 1500,
  }
end)

--! app app
gw.on("@ready", function()
  local _, err = gw.send("refuse")
  print(err.code, err.message, err.details.code, #err.details.queue)
  print(err.retryable, err.retry_after_ms, err.method, err.sent)
  print(err)
  print(select(2, gw.send("no.such.method")))
end)

--! expect app
--> UNAVAILABLE	try later	BUSY	2
--> true	1500	refuse	nil
--> refuse failed: UNAVAILABLE: try later
--> no.such.method failed: INVALID_REQUEST: unknown method: no.such.method
