-- The demo's gateway: what its agents do, one thing after the other, and one restart. A scenario of the simulator,
-- docs/simulator.md.
sim.agent("builder", "Builder")
sim.agent("reviewer", "Reviewer")
sim.session("agent:builder:main", "nightly build")
sim.session("agent:reviewer:main", "pull requests")
sim.pace(0.04)

local function tell(text, ...)
  log.info(text:format(...))
end

local answers = {
  ["Build the main branch"] = {
    tool = { name = "exec", args = { command = "make" }, result = "ok" },
    text = "Build is green: 214 targets, no warnings.",
  },
  ["Review pull request 7"] = "Two remarks, both small. Otherwise fine to merge.",
  ["Run the flaky test again"] = { fail = "the model's provider did not answer" },
  ["Why did the test run fail?"] = "The provider was not reachable. Nothing is wrong with the test.",
}

sim.model(function(message)
  return answers[message] or ("Done: " .. message)
end)

local function work(session, message)
  tell('%s is asked: "%s"', session:match("^agent:([^:]+)"), message)
  sim.run(session, message)
end

local function restart()
  tell("restarts: it says shutdown, closes with 1012 and is gone for a moment")
  sim.next { refuse = "starting", retry_after_ms = 300 }
  sim.shutdown("restart")
end

local steps = {
  function() work("agent:builder:main", "Build the main branch") end,
  function() work("agent:reviewer:main", "Review pull request 7") end,
  function() work("agent:builder:main", "Run the flaky test again") end,
  restart,
}

-- One after the other for ever, as long as somebody listens.
local is_playing = false

sim.on("@ready", function()
  if is_playing then return end
  is_playing = true
  task.spawn(function()
    task.sleep(0.8)
    while #sim.peers() > 0 do
      local step = table.remove(steps, 1)
      steps[#steps + 1] = step
      step()
      if step == restart then break end
      task.sleep(1.2)
    end
    is_playing = false
  end)
end)
