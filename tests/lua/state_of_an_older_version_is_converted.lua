-- An app whose data has another shape than before converts it once, when it loads.

--! restart: "message":"agents\\t2\\tb"
--! file library/agents.lua
--| return "b"
--! app app
local function convert(state, from)
  print("from", from)
  state.agents = state.agents or { "a", (require "library.agents") }
end
gw.on_migrate(3, convert)
gw.on("@ready", function() print("agents", #gw.state.agents, gw.state.agents[2]) end)

--! expect app
--> from	0
--> agents	2	b
--> agents	2	b
