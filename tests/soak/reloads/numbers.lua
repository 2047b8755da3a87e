-- Takes numbered events while it is reloaded: every number once and in order, whatever a handler waits for.
--
-- What a handler began with is kept in gw.state, which the next generation begins with: a number that is lost, comes
-- twice or comes too early is seen at once. What came to an end is written down when a generation ends: a call that
-- waits ends in the generation that began it.

local WAITS = gw.app.config.waits
local LANES = 7

gw.state.last = gw.state.last or {}
local last = gw.state.last -- by handler or key
local ends = {}            -- calls that came to their end here, by handler
local gap, before = 0, gw.state.before
local WINDOW = 0.02 -- seconds: about the life of a generation, for comparison with one that is not reloaded
local windows, window_gap, window_end = {}, 0, 0
local wrong = 0

local function check(name, n, step)
  local expected = (last[name] or n - step) + step
  if n ~= expected and wrong < 5 then
    wrong = wrong + 1
    log.error("not in order", { handler = name, expected = expected, got = n, generation = gw.app.generation })
  end
  last[name] = n
end

local function measure(now)
  local since = before and now - before or 0
  gap, window_gap = math.max(gap, since), math.max(window_gap, since)
  if now < window_end then return end
  windows[#windows + 1] = window_gap * 1000
  window_gap, window_end = 0, now + WINDOW
end

local function ended(name)
  ends[name] = (ends[name] or 0) + 1
end

local function wait_each(n, which)
  if WAITS and n % which == 0 then task.sleep(0.001) end
end

gw.on("number", function(payload)
  local now = gw.now()
  measure(now)
  before = now
  gw.state.before = now
  check("plain", payload.n, 1)
  ended("plain")
end)

gw.on("number", function(payload)
  check("waits", payload.n, 1)
  wait_each(payload.n, 997)
  ended("waits")
end)

gw.on("number", function(payload)
  check("concurrent", payload.n, 1)
  wait_each(payload.n, 101)
  ended("concurrent")
end, { concurrency = 8 })

gw.on("number", function(payload)
  check("key" .. payload.n % LANES, payload.n, LANES)
  wait_each(payload.n, 499)
  ended("keyed")
end, { key = function(payload) return payload.n % LANES end })

gw.on("number.end", function(payload)
  log.info("all numbers were sent", { secs = payload.secs, generation = gw.app.generation })
end)

gw.on("@stop", function()
  local file = assert(io.open(gw.app.data_dir .. "/generations.jsonl", "a"))
  local report = { generation = gw.app.generation, ends = ends, gap_ms = gap * 1000, windows_ms = json.array(windows) }
  file:write(json.encode(report), "\n")
  file:close()
end)
