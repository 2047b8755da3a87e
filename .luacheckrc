-- luacheck over lua/, examples/ and tests/: what an app finds in its globals, and nothing else.
std = "lua54"
max_line_length = 120
codes = true

-- The modules of the host. An app writes to gw.state and registers through gw; the names themselves are not assigned.
read_globals = {
  gw = { other_fields = true, fields = { state = { read_only = false, other_fields = true } } },
  "task",
  "timer",
  "log",
  "json",
  "sqlite",
  "broker",
  "http",
}

-- Callbacks take the arguments they are given.
unused_args = false

-- The gateway simulator makes `sim`, its scenarios find it.
files["examples/scenarios"] = { read_globals = { "sim" } }
files["lua/demo/gateway.lua"] = { read_globals = { "sim" } }

-- Stubs declare the API for editors: they assign the globals, and their functions have no bodies.
files["lua/library"] = {
  globals = { "gw", "task", "timer", "log", "json", "sqlite", "broker", "http", "print" },
  ignore = { "212", "241", "631" },
}
