-- A gateway with three agents that work by themselves: something to watch with `gatehouse tail agent chat`.
--
--     gatehouse sim examples/scenarios/agents.lua
sim.agent("builder", "Builder")
sim.agent("reviewer", "Reviewer")
sim.session("agent:builder:main", "nightly build")
sim.session("agent:reviewer:main", "pull requests")

-- What the model answers: a text, or a plan with a tool to call first.
sim.model(function(message)
  if message:find("build", 1, true) then
    return { tool = { name = "exec", args = { command = "make" }, result = "ok" }, text = "The build is green." }
  end
  return "I looked at it: " .. message
end)

local work = {
  { "agent:builder:main", "build the main branch" },
  { "agent:reviewer:main", "review pull request 7" },
}

timer.every(2, function()
  local session, message = table.unpack(work[1])
  table.insert(work, table.remove(work, 1))
  sim.run(session, message)
end)
