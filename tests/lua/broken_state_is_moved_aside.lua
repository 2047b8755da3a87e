-- A state file that is not what was written is moved aside with a warning, never overwritten, and the app begins with an empty gw.state.

--! restart: "message":"ready\\t1"
--! app app
local path = gw.app.data_dir .. "/state.bin"
local file = io.open(path, "r+")
if file then -- the second run, before it looks at gw.state
  file:seek("set", 60)
  file:write("X")
  file:close()
end
gw.state.runs = (gw.state.runs or 0) + 1
gw.on("@ready", function()
  local names = io.popen("ls '" .. gw.app.data_dir .. "'"):read "a"
  print("moved", names:find("state%.bin%.broken%-%d+\n") ~= nil)
  print("ready", gw.state.runs)
end)

--! log: "warn","app":"app","message":"\S+/state.bin is damaged: its checksum is wrong: moved to \S+, the app begins with an empty gw.state"
--! expect app
--> moved	false
--> ready	1
--> moved	true
--> ready	1
