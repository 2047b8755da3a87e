-- Checks on every connection that each of its handlers got each event once and that every request ended; then it asks for the end.
-- At the connections that the test names it stands still until the test has looked at the process.
local COUNT = assert(math.tointeger(os.getenv "SOAK_COUNT"))
local HOLDS = {}
for number in os.getenv "SOAK_HOLDS":gmatch("%d+") do HOLDS[math.tointeger(number)] = true end

local asked, answered, lost = 0, 0, 0
local seen = {} -- handler -> n -> how often, on this connection
local connection

local function ask(method, params, options)
  asked = asked + 1
  local answer, err = gw.send(method, params, options)
  if answer then
    answered = answered + 1
  elseif err.code == "DISCONNECTED" then
    lost = lost + 1
  else
    log.error("a request ended in another way", err)
  end
  return answer
end

local function hold(number)
  collectgarbage()
  collectgarbage()
  print("hold", number, math.floor(collectgarbage("count")))
  while not gw.read_file("go-" .. number) do task.sleep(0.02) end
end

local function finish()
  if HOLDS[connection] then hold(connection) end
  if connection == COUNT then return print("done", asked, answered, lost) end
  task.spawn(ask, "never")
  task.sleep(0) -- it is under way before the end is
  ask("end")
end

for _, pattern in ipairs { "soak.numbered", "soak.numbered", "soak.*" } do
  local counts
  gw.on("@ready", function()
    counts = {}
    seen[#seen + 1] = counts
  end)
  gw.on(pattern, function(payload, event)
    assert(event.connection == connection)
    counts[payload.n] = (counts[payload.n] or 0) + 1
  end)
end

gw.on("@ready", function(hello)
  connection = hello.connection
  for n = 1, 5 do
    task.spawn(function() assert(ask("echo", { n = n }).n == n) end)
  end
end)

-- The last event has come, and the handlers above have had it: they were registered before.
gw.on("soak.numbered", function(payload)
  if payload.n < payload.of then return end
  assert(#seen == 3)
  for _, counts in ipairs(seen) do
    for n = 1, payload.of do assert(counts[n] == 1, "an event came not, or twice") end
  end
  seen = {}
  assert(ask("echo", { n = 0 }).n == 0) -- behind the five
  finish()
end)
