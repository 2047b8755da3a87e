-- Keeps what it counts over reloads and restarts, also when a later version of it keeps it in another form.
-- Edit it while `gatehouse run --watch` runs it: the count goes on.

-- Version 1 was a number for each session. Version 2 also has the time of the last answer.
gw.on_migrate(2, function(state, from)
  if from < 1 then state.answers = {} end
  if from == 1 then
    for session, count in pairs(state.answers) do state.answers[session] = { count = count } end
  end
end)

gw.on("chat", function(payload)
  if payload.state ~= "final" then return end
  local answers = gw.state.answers
  local entry = answers[payload.sessionKey] or { count = 0 }
  entry.count, entry.last = entry.count + 1, os.time()
  answers[payload.sessionKey] = entry
  log.info("an answer", { count = entry.count, session = payload.sessionKey })
end)
