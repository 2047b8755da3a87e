-- Runs of agents: chat.send and agent, what they stream, and the model that answers.
--
-- The model echoes: "You said: … -- end." The first word of a message may ask for more:
--     TOOL name arguments   a call of that tool first       SLOW n   n words, one every 100 ms
--     FAIL text             a run that ends with an error   BIG n    an answer of n bytes
-- A scenario puts its own in its place with sim.model.
local schema = require "gatehouse.sim.schema"

local RUNS_KEPT = 1000 -- whose idempotency keys are remembered
local PIECES = 12 -- of an answer, at most
local PACE_S = 0.01 -- between two pieces

local WRITE = "operator.write"

-- --- the model -----------------------------------------------------------------------------------------------------

-- message -> plan: text, tool { name, args, result }, fail, pace_s, pieces
local function echo(message)
  local word, rest = message:match("^(%u+)%s+(.*)$")
  local plan = { text = ("You said: %s -- end."):format(message) }
  if word == "TOOL" then
    local name, arguments = rest:match("^(%S+)%s*(.*)$")
    plan.tool = { name = name, args = json.decode(arguments) or {}, result = "tool-output" }
    plan.text = "The tool said: tool-output"
  elseif word == "SLOW" then
    local words = {}
    for i = 1, tonumber(rest) or 10 do words[i] = "word" .. i - 1 end
    plan.text, plan.pace_s, plan.pieces = table.concat(words, " "), 0.1, #words
  elseif word == "FAIL" then
    plan.fail = "LLM request failed: " .. rest
  elseif word == "BIG" then
    local size = math.tointeger(tonumber(rest)) or 300000
    plan.text, plan.pieces = ("abcdefghij"):rep(size // 10 + 1):sub(1, size), 24
  end
  return plan
end

-- A text cut into at most `most` pieces, between words where there are enough of them.
local function pieces_of(text, most)
  local words, pieces = {}, {}
  for word in text:gmatch("%S*%s*") do
    if word ~= "" then words[#words + 1] = word end
  end
  if #words < most and #text > 4096 then
    local size = -(-#text // most)
    for at = 1, #text, size do pieces[#pieces + 1] = text:sub(at, at + size - 1) end
    return pieces
  end
  local size = math.max(1, -(-#words // most))
  for at = 1, #words, size do
    pieces[#pieces + 1] = table.concat(words, "", at, math.min(at + size - 1, #words))
  end
  return pieces
end

-- --- one run -------------------------------------------------------------------------------------------------------

local Runs = {}
Runs.__index = Runs

-- Tool events are for clients that announced the capability.
local function takes_tools(peer)
  return peer.caps["tool-events"]
end

function Runs:emit_agent(run, stream, data, wants)
  run.seq = run.seq + 1
  local payload = {
    runId = run.id,
    stream = stream,
    data = data,
    sessionKey = run.session.key,
    seq = run.seq,
    ts = self.raw.now_ms(),
  }
  if self.protocol == 4 then
    payload.agentId = run.session.agent_id
    payload.sessionId = run.session.id
    payload.isHeartbeat = false
  end
  self.gateway:emit("agent", payload, wants)
end

function Runs:emit_chat(run, state, more)
  more.runId, more.sessionKey, more.state, more.seq = run.id, run.session.key, state, run.seq
  if self.protocol == 4 then more.agentId = run.session.agent_id end
  self.gateway:emit("chat", more)
end

function Runs:tell_changed(session, more)
  more.sessionKey, more.ts, more.session = session.key, self.raw.now_ms(), self.world:session_row(session)
  if self.protocol == 4 then more.agentId = session.agent_id end
  self.gateway:emit("sessions.changed", more, function(peer) return peer.wants_sessions end)
end

function Runs:tell_message(session, role, content)
  local message = self.world:add_message(session, role, content)
  self.gateway:emit("session.message", {
    sessionKey = session.key,
    message = message,
    messageId = message.__openclaw.id,
    messageSeq = message.__openclaw.seq,
    session = self.world:session_row(session),
  }, function(peer) return peer.messages[session.key] end)
end

local function spoken(self, text)
  return { role = "assistant", content = json.array { { type = "text", text = text } }, timestamp = self.raw.now_ms() }
end

-- Protocol 4 tells what it prepares; 3 does not.
function Runs:stream_status(run, phase)
  if self.protocol ~= 4 then return end
  self:emit_agent(run, "run_status", { phase = phase })
  self:emit_chat(run, "status", { phase = phase })
end

function Runs:stream_tool(run, tool)
  local call = { name = tool.name, toolCallId = "call_" .. self.raw.uuid():sub(1, 8) }
  local function emit(phase, more)
    more.phase, more.name, more.toolCallId = phase, call.name, call.toolCallId
    self:emit_agent(run, "tool", more, takes_tools)
  end
  emit("start", { args = tool.args })
  task.sleep(run.pace_s)
  emit("result", {
    isError = tool.is_error or false,
    result = { content = json.array { { type = "text", text = tool.result or "" } } },
  })
end

function Runs:stream_text(run, text, pieces)
  for _, piece in ipairs(pieces_of(text, pieces or PIECES)) do
    task.sleep(run.pace_s)
    if run.aborted then return end
    run.said = run.said .. piece
    self:emit_agent(run, "assistant", { text = run.said, delta = piece })
    self:emit_chat(run, "delta", { deltaText = self.protocol == 4 and piece or nil, message = spoken(self, run.said) })
  end
end

local function fail(self, run, problem)
  self:emit_agent(run, "lifecycle", {
    phase = "error",
    error = problem,
    livenessState = "blocked",
    endedAt = self.raw.now_ms(),
  })
  self:emit_chat(run, "error", { errorMessage = problem })
  return "failed", "error"
end

local function abort(self, run)
  self:emit_chat(run, "aborted", { stopReason = "rpc", message = spoken(self, run.said) })
  self:emit_agent(run, "lifecycle", {
    phase = "end",
    status = "cancelled",
    aborted = true,
    stopReason = "rpc",
    startedAt = run.started_ms,
    endedAt = self.raw.now_ms(),
  })
  return "done", "aborted"
end

local function finish(self, run)
  self:emit_agent(run, "lifecycle", {
    phase = "end",
    stopReason = "stop",
    aborted = false,
    livenessState = "working",
    startedAt = run.started_ms,
    endedAt = self.raw.now_ms(),
  })
  self:emit_chat(run, "final", { stopReason = "stop", message = spoken(self, run.said) })
  return "done", "ok"
end

-- What the model wants to do: a plan.
local function plan_for(self, run)
  local fine, plan, err = xpcall(self.model, debug.traceback, run.message, run)
  if not fine then
    log.error("sim.model failed: " .. plan)
    return { fail = "the simulated model failed" }
  end
  if type(plan) == "string" then return { text = plan } end
  if plan == nil then return { fail = tostring(err or "the simulated model gave no answer") } end
  return plan
end

-- The whole run, from the message that is taken to the last event. Waits.
function Runs:perform(run)
  local session = run.session
  session.started_ms, session.ended_ms, session.status, session.last_run = run.started_ms, nil, "running", run.id
  self:tell_message(session, "user", run.message)
  self:tell_changed(session, { reason = "send" })
  self:stream_status(run, "preparing_context")
  self:emit_agent(run, "lifecycle", { phase = "start", startedAt = run.started_ms })
  self:tell_changed(session, { phase = "start", runId = run.id })

  local plan = plan_for(self, run)
  local status
  run.pace_s = plan.pace_s or self.pace_s
  if plan.tool then self:stream_tool(run, plan.tool) end
  if not plan.fail then self:stream_text(run, plan.text or "", plan.pieces) end
  if run.aborted then
    status, run.outcome = abort(self, run)
  elseif plan.fail then
    run.problem = plan.fail
    status, run.outcome = fail(self, run, plan.fail)
  else
    status, run.outcome = finish(self, run)
  end

  session.status, session.ended_ms, session.aborted = status, self.raw.now_ms(), run.aborted
  session.input_tokens = session.input_tokens + #run.message // 4 + 1
  session.output_tokens = session.output_tokens + #run.said // 4
  if run.said ~= "" then self:tell_message(session, "assistant", json.array { { type = "text", text = run.said } }) end
  self:tell_changed(session, { phase = run.problem and "error" or "end", runId = run.id })
  self.active[session.key] = nil
end

-- Remembers it under its id, which is the idempotency key.
function Runs:new(id, session_key, message)
  local run = {
    id = id,
    session = self.world:add_session(session_key),
    message = message,
    said = "",
    seq = 0,
    started_ms = self.raw.now_ms(),
  }
  self.by_id[id] = run
  self.order[#self.order + 1] = id
  if #self.order > RUNS_KEPT then self.by_id[table.remove(self.order, 1)] = nil end
  self.active[run.session.key] = run
  return run
end

-- What sim.run does: a run that nobody asked for. Waits until it has ended.
function Runs:run(session_key, message)
  local run = self:new(self.raw.uuid(), session_key, message)
  self:perform(run)
  return run.outcome
end

-- --- methods -------------------------------------------------------------------------------------------------------

local function agent_result(self, run)
  local result = {
    runId = run.id,
    status = run.outcome == "aborted" and "error" or run.outcome,
    summary = run.outcome == "ok" and "completed" or run.problem or "aborted",
  }
  if run.outcome == "ok" then
    result.result = {
      payloads = json.array { { text = run.said, mediaUrl = json.null } },
      meta = {
        durationMs = self.raw.now_ms() - run.started_ms,
        agentMeta = { sessionId = run.session.id, provider = "sim", model = "echo-1" },
        aborted = false,
      },
    }
  end
  return result
end

local chat_schema = schema.object {
  "sessionKey", schema.string { least = 1 },
  "message", schema.string(),
  "thinking?", schema.string(),
  "deliver?", schema.boolean,
  "attachments?", schema.array(schema.any),
  "timeoutMs?", schema.integer { least = 0 },
  "idempotencyKey", schema.string { least = 1 },
}

local agent_schema = schema.object {
  "message", schema.string { least = 1 },
  "agentId?", schema.string { least = 1 },
  "sessionKey?", schema.string { least = 1 },
  "sessionId?", schema.string { least = 1 },
  "thinking?", schema.string(),
  "deliver?", schema.boolean,
  "channel?", schema.string(),
  "to?", schema.string(),
  "timeout?", schema.integer { least = 0 },
  "lane?", schema.string(),
  "extraSystemPrompt?", schema.string(),
  "label?", schema.string(),
  "idempotencyKey", schema.string { least = 1 },
}

local abort_schema = schema.object { "sessionKey", schema.string { least = 1 }, "runId?", schema.string { least = 1 } }

-- On protocol 4 a chat without a session is refused before its schema is looked at.
local function needs_session(params)
  if params.sessionKey ~= nil then return end
  return {
    code = "INVALID_REQUEST",
    message = "session mutation target is unavailable",
    details = { code = "SESSION_MUTATION_TARGET_REQUIRED", method = "chat.send" },
  }
end

function Runs:abort(session_key, run_id)
  local run = self.active[self.world:resolve(session_key)]
  if not run or (run_id and run.id ~= run_id) then return end
  run.aborted = true
  return run.id
end

function Runs:register()
  local requests = self.gateway.requests

  requests:register("chat.send", function(params)
    local known = self.by_id[params.idempotencyKey]
    if known then return { runId = known.id, status = known.outcome or "in_flight" } end
    local run = self:new(params.idempotencyKey, params.sessionKey, params.message)
    task.spawn(self.perform, self, run)
    return { runId = run.id, status = "started" }
  end, { scope = WRITE, schema = chat_schema, before = self.protocol == 4 and needs_session or nil })

  requests:register("agent", function(params, _, request)
    local run = self.by_id[params.idempotencyKey]
    if run then return run.outcome and agent_result(self, run) or { runId = run.id, status = "in_flight" } end
    local key = params.sessionKey or ("agent:%s:main"):format(params.agentId or self.world.agents[1].id)
    run = self:new(params.idempotencyKey, key, params.message)
    local accepted = { runId = run.id, status = "accepted", acceptedAt = run.started_ms }
    if self.protocol == 4 then
      accepted.sessionKey = run.session.key
      accepted.agentId = run.session.agent_id
    end
    request:accept(accepted)
    self:perform(run)
    return agent_result(self, run)
  end, { scope = WRITE, schema = agent_schema })

  requests:register("chat.abort", function(params)
    local id = self:abort(params.sessionKey, params.runId)
    return { ok = true, aborted = id ~= nil, runIds = json.array { id } }
  end, { scope = WRITE, schema = abort_schema })

  requests:register("sessions.abort", function(params)
    local id = self:abort(params.key)
    return { ok = true, abortedRunId = id or json.null, status = id and "aborted" or "no-active-run" }
  end, { scope = WRITE, schema = schema.object { "key", schema.string { least = 1 } } })
end

return function(gateway)
  return setmetatable({
    gateway = gateway,
    raw = gateway.raw,
    world = gateway.world,
    protocol = gateway.protocol,
    model = echo,
    pace_s = PACE_S,
    by_id = {},
    order = {},
    active = {},
  }, Runs)
end
