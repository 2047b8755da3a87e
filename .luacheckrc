-- luacheck over lua/, examples/ and tests/: what an app finds in its globals, and nothing else.
std = "lua54"
max_line_length = 120
max_comment_line_length = 140
codes = true

-- The modules of the host. An app writes to gw.state and registers through gw; the names themselves are not assigned.
read_globals = {
  gw = { other_fields = true, fields = { state = { read_only = false, other_fields = true } } },
  "task",
  "timer",
  "log",
  "json",
}

-- Callbacks take the arguments they are given.
unused_args = false

-- Stubs declare the API for editors: they assign the globals, their functions have no bodies, and their text is the manual's.
files["lua/library"] = {
  globals = { "gw", "task", "timer", "log", "json", "print", "require" },
  max_comment_line_length = false,
  ignore = { "212", "241" },
}

-- Scenarios are apps of the simulator, which gives them one more module.
local scenario = { read_globals = { "sim" } }
files["examples/scenarios"] = scenario
files["lua/demo/gateway.lua"] = scenario
files["tests/soak"] = scenario
-- In a Lua test the sections are files of their own, which luacheck cannot know.
files["tests/lua"] = { read_globals = { "sim" }, max_comment_line_length = false, ignore = { "411", "421", "431" } }
