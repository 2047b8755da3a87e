-- The demo's app: follows the runs of all agents, and asks about those that fail. It is an app as any other:
--
--     gatehouse run watch_runs.lua
local finished = gw.state.finished or 0
local is_connected = false

gw.on("@ready", function()
  is_connected = true
  local agents = gw.send("agents.list")
  local sessions = gw.send("sessions.list")
  if agents and sessions then print(("knows %d agents and %d sessions"):format(#agents.agents, #sessions.sessions)) end
end)

gw.on("agent", function(event)
  if event.stream == "tool" and event.data.phase == "start" then
    print(("sees the tool %s called"):format(event.data.name))
  end
end)

gw.on("chat", function(chat)
  if chat.state == "final" then
    finished = finished + 1
    gw.state.finished = finished
    print(('heard: "%s" (answer number %d)'):format(chat.message.content[1].text, finished))
  elseif chat.state == "error" then
    print("sees a run fail, and asks why")
    local question = { sessionKey = chat.sessionKey, message = "Why did the test run fail?" }
    gw.send("chat.send", question, { idempotent = true })
  end
end)

gw.on("@closed", function(closed)
  if not is_connected then return end -- an attempt that failed
  is_connected = false
  print(("sees the connection end (%d), keeps its count of %d, and waits"):format(closed.code, finished))
end)
