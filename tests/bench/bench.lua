-- The load of firehose through one Lua handler: reads two fields of each event, reports what it saw.
-- BENCH_SPECS as in run: ev:SIZE:COUNT:KIND, seq:COUNT (requests one after the other), pipe:COUNT:WIDTH (side by side).

local count, sum = 0, 0
local finished

gw.on("agent", function(payload)
  count = count + 1
  sum = sum + #payload.data.text + payload.runId:byte()
end)

gw.on("bench.end", function()
  finished = true
end)

local function status(key)
  for line in io.lines("/proc/self/status") do
    local kilobytes = line:match("^" .. key .. ":%s+(%d+)")
    if kilobytes then return math.tointeger(kilobytes) end
  end
end

local ECHO = { text = "hello", n = 1 }
local LABEL = os.getenv("BENCH_LABEL") or "gatehouse"
local run = {}

function run.ev(size, events, kind)
  count, sum, finished = 0, 0, false
  local rss0, cpu0 = status("VmRSS"), os.clock()
  assert(gw.send("bench.start", { size = size, count = events, kind = kind, label = LABEL }))
  while not finished do
    task.sleep(0.001)
  end
  gw.send("bench.done", { n = count, sum = sum, cpu = os.clock() - cpu0, rss0 = rss0, hwm = status("VmHWM") })
end

function run.seq(requests)
  local times = {}
  for i = 1, requests do
    local before = gw.now()
    assert(gw.send("echo", ECHO))
    times[i] = (gw.now() - before) * 1e6
  end
  table.sort(times)
  gw.send("bench.report", { t = "seq", label = LABEL, p50 = times[requests // 2], p99 = times[requests * 99 // 100] })
end

function run.pipe(requests, width)
  local workers, before = {}, gw.now()
  for i = 1, width do
    workers[i] = function()
      for _ = 1, requests // width do
        assert(gw.send("echo", ECHO))
      end
    end
  end
  task.all(workers)
  gw.send("bench.report", { t = "pipe", label = LABEL, rps = requests / (gw.now() - before) })
end

gw.once("@ready", function()
  for spec in os.getenv("BENCH_SPECS"):gmatch("%S+") do
    local kind, a, b, c = spec:match("^(%a+):(%d+):?(%d*):?(%a*)$")
    run[kind](math.tointeger(a), math.tointeger(b), c)
  end
  gw.send("bench.report", { t = "end", label = LABEL })
end)
