-- Answers that go wrong, for apps that must not hang on one. Own methods are there too: gatehouse call orders.list
--
--     gatehouse sim examples/scenarios/slow_answers.lua
sim.answer("agents.list", { late = 2, times = math.huge })
sim.answer("sessions.list", { never = true, times = 3 })
sim.answer("health", { error = { code = "UNAVAILABLE", message = "busy", retryable = true, retryAfterMs = 500 } })

sim.on("orders.list", function(params, peer)
  task.sleep(0.2) -- others are answered meanwhile
  if params.limit and params.limit < 1 then
    return nil, { code = "INVALID_REQUEST", message = "invalid orders.list params: at /limit: must be >= 1" }
  end
  return { orders = json.array(), asked_by = peer.client.id }
end, { scope = "operator.read" })
