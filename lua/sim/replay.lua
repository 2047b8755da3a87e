-- A recorded connection, played to every client: its hello-ok, its events at their times and as they are (numbers and
-- gaps included), its answers to the methods that the recording client called. Once the events are over, the simulated
-- gateway's own go on.
--
-- A recording is JSON lines:
-- {"t":milliseconds,"conn":"name","dir":"recv"|"send"|"close"|…,"frame":{…}|"code":n,"reason":"…"}. One file may hold
-- several connections.
local wire = require "gatehouse.sim.wire"

local Replay = {}
Replay.__index = Replay

-- The lines of one connection; without a name, of the first that became ready.
local function lines_of(text, name)
  local entries, number, ready = {}, 0, nil
  for line in text:gmatch("[^\r\n]+") do
    number = number + 1
    local entry, err = json.decode(line)
    if type(entry) ~= "table" then return nil, ("line %d is no JSON object: %s"):format(number, err or "") end
    entries[#entries + 1] = entry
    local frame = entry.frame
    if type(frame) == "table" and type(frame.payload) == "table" and frame.payload.type == "hello-ok" then
      ready = ready or entry.conn
    end
  end
  name = name or ready
  local own = {}
  for _, entry in ipairs(entries) do
    if entry.conn == name then own[#own + 1] = entry end
  end
  if not ready or #own == 0 then return nil, "no connection in it got a hello-ok" end
  return own
end

-- An answer that was recorded, for the request that is given.
local function add_answer(self, requests, frame)
  local method = requests[frame.id]
  if not method then return end
  local answers = self.answers[method] or {}
  self.answers[method] = answers
  local last = answers[#answers]
  if last and last.id == frame.id then
    last.second = frame -- of a method that answers twice
  else
    answers[#answers + 1] = { id = frame.id, first = frame }
  end
end

local function take_frame(self, entry, frame, requests)
  if entry.dir == "send" then
    if frame.type == "req" then requests[frame.id] = frame.method end
  elseif frame.type == "res" then
    if type(frame.payload) == "table" and frame.payload.type == "hello-ok" then
      self.hello, self.hello_ms = frame.payload, entry.t
      requests[frame.id] = nil
    end
    add_answer(self, requests, frame)
  elseif frame.type == "event" and self.hello then
    self.events[#self.events + 1] = { after_ms = entry.t - self.hello_ms, frame = frame }
  end
end

-- text: of the file. options: speed (1; 0: as fast as it goes), connection. Returns nil and a sentence for what is no
-- recording.
local function new(gateway, text, options)
  local entries, problem = lines_of(text, options.connection)
  if not entries then return nil, problem end
  local self = setmetatable({ gateway = gateway, speed = options.speed or 1, events = {}, answers = {} }, Replay)
  local requests = {}
  for _, entry in ipairs(entries) do
    if type(entry.frame) == "table" then
      take_frame(self, entry, entry.frame, requests)
    elseif entry.dir == "close" and self.hello then
      self.close = { after_ms = entry.t - self.hello_ms, code = entry.code, reason = entry.reason }
    end
  end
  if not self.hello then return nil, "the connection did not get a hello-ok" end
  return self
end

-- Waits, if anybody is to wait, until `after_ms` of the recording have passed since `start_s`.
local function await(self, start_s, after_ms)
  if self.speed <= 0 then return end
  local left_s = start_s + after_ms / 1000 / self.speed - gw.now()
  if left_s > 0 then task.sleep(left_s) end
end

function Replay:play(peer)
  peer.is_replaying, peer.asked = true, {} -- asked: how often it called a method
  local start_s = gw.now()
  for _, event in ipairs(self.events) do
    await(self, start_s, event.after_ms)
    if peer.state ~= "ready" then return end
    local frame = event.frame
    if math.type(frame.seq) == "integer" then peer.seq = frame.seq end
    local payload, version = wire.text_of(frame.payload), frame.stateVersion
    peer:write(wire.event(self.gateway.legacy, frame.event, payload, frame.seq, version and wire.text_of(version)))
  end
  -- 1005 and 1006 are said of a close, never in one.
  if self.close and self.close.code >= 1000 and self.close.code ~= 1005 and self.close.code ~= 1006 then
    await(self, start_s, self.close.after_ms)
    return peer:close(self.close.code, self.close.reason)
  end
  peer.is_replaying = false
end

-- What was answered to this method, in turn; the last answer over and over. nil if it was never asked.
function Replay:method(peer, method)
  local answers = self.answers[method]
  if not answers then return end
  return {
    fn = function(_, _, request)
      local turn = math.min((peer.asked[method] or 0) + 1, #answers)
      peer.asked[method] = turn
      local answer = answers[turn]
      if answer.second then request:accept(answer.first.payload) end
      local frame = answer.second or answer.first
      if frame.ok then return frame.payload == nil and json.null or frame.payload end
      return nil, frame.error
    end,
  }
end

return new
