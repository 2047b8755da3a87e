-- What the simulated gateway has: agents, sessions with their messages, presence, health. Shapes as recorded from real
-- gateways; the fields that only their web page uses are left out.
local uuid, now_ms -- of the raw module

local MESSAGES_KEPT = 200 -- of a session

local World = {}
World.__index = World

-- --- agents and sessions -------------------------------------------------------------------------------------------

function World:add_agent(id, name)
  local agent = { id = id, name = name }
  self.agents[#self.agents + 1] = agent
  return agent
end

function World:has_agent(id)
  for _, agent in ipairs(self.agents) do
    if agent.id == id then return true end
  end
  return false
end

-- "main" and other short keys mean sessions of the default agent.
function World:resolve(key)
  return key:match("^agent:[^:]+:") and key or ("agent:%s:%s"):format(self.agents[1].id, key)
end

function World:add_session(key, label)
  key = self:resolve(key)
  local session = self.by_key[key]
  if session then
    session.label = label or session.label
    return session
  end
  session = {
    key = key,
    agent_id = key:match("^agent:([^:]+)"),
    label = label,
    id = uuid(),
    created_ms = now_ms(),
    updated_ms = now_ms(),
    messages = {},
    message_count = 0,
    input_tokens = 0,
    output_tokens = 0,
  }
  self.by_key[key] = session
  self.sessions[#self.sessions + 1] = session
  return session
end

function World:find_session(key)
  return self.by_key[self:resolve(key)]
end

function World:add_message(session, role, content)
  local messages = session.messages
  session.message_count = session.message_count + 1
  session.updated_ms = now_ms()
  local message = {
    role = role,
    content = content,
    timestamp = session.updated_ms,
    __openclaw = { id = uuid(), seq = session.message_count },
  }
  messages[#messages + 1] = message
  if #messages > MESSAGES_KEPT then table.remove(messages, 1) end
  return message
end

-- --- as the gateway tells them -------------------------------------------------------------------------------------

function World:agent_row(agent)
  local row = {
    id = agent.id,
    name = agent.name,
    workspace = "/srv/openclaw/ws",
    model = { primary = "sim/echo-1" },
    thinkingLevels = { { id = "off", label = "off" } },
    thinkingOptions = { "off" },
    thinkingDefault = "off",
  }
  if self.protocol == 4 then
    row.workspaceGit = false
    row.defaultPermissionMode = "full"
  end
  return row
end

function World:agents_list()
  local rows = json.array()
  for i, agent in ipairs(self.agents) do rows[i] = self:agent_row(agent) end
  local list = { defaultId = self.agents[1].id, mainKey = "main", scope = "per-sender", agents = rows }
  if self.protocol == 4 then
    list.ownership = "sole"
    list.selectionRequired = false
  end
  return list
end

function World:session_row(session)
  local row = {
    key = session.key,
    kind = "direct",
    chatType = "direct",
    label = session.label,
    displayName = session.label or session.key,
    sessionId = session.id,
    updatedAt = session.updated_ms,
    systemSent = session.message_count > 0,
    abortedLastRun = session.aborted or false,
    thinkingDefault = "off",
    inputTokens = session.input_tokens,
    outputTokens = session.output_tokens,
    totalTokens = session.input_tokens + session.output_tokens,
    totalTokensFresh = true,
    contextTokens = 128000,
    modelProvider = "sim",
    model = "echo-1",
    status = session.status,
    startedAt = session.started_ms,
    endedAt = session.ended_ms,
    runtimeMs = session.ended_ms and session.ended_ms - session.started_ms,
  }
  if self.protocol == 4 then
    row.agentId = session.agent_id
    row.isMain = session.key == self:resolve("main")
    row.createdAt = session.created_ms
    row.lastRunId = session.last_run
    row.visibility = "shared"
    row.archived, row.pinned, row.unread = false, false, false
  end
  return row
end

-- The newest first, as the gateway lists them.
function World:recent_sessions(limit, agent_id)
  local found = {}
  for _, session in ipairs(self.sessions) do
    if not agent_id or session.agent_id == agent_id then found[#found + 1] = session end
  end
  table.sort(found, function(a, b)
    if a.updated_ms ~= b.updated_ms then return a.updated_ms > b.updated_ms end
    return a.key < b.key
  end)
  return table.move(found, 1, math.min(#found, limit or #found), 1, json.array())
end

local function recent(self, agent_id)
  local rows = json.array()
  for i, session in ipairs(self:recent_sessions(5, agent_id)) do
    rows[i] = { key = session.key, updatedAt = session.updated_ms, age = now_ms() - session.updated_ms }
  end
  return { path = "/srv/openclaw/state/sessions", count = #self:recent_sessions(nil, agent_id), recent = rows }
end

function World:health()
  local agents = json.array()
  for i, agent in ipairs(self.agents) do
    agents[i] = {
      agentId = agent.id,
      name = agent.name,
      isDefault = i == 1,
      heartbeat = { enabled = false, every = "disabled", everyMs = json.null, prompt = "", target = "none" },
      sessions = recent(self, agent.id),
    }
  end
  return {
    ok = true,
    ts = now_ms(),
    durationMs = 1,
    plugins = { loaded = json.array(), errors = json.array() },
    channels = {},
    channelOrder = json.array(),
    channelLabels = {},
    heartbeatSeconds = 0,
    defaultAgentId = self.agents[1].id,
    agents = agents,
    sessions = recent(self),
    eventLoop = { degraded = false, reasons = json.array(), intervalMs = 1000, delayP99Ms = 0, delayMaxMs = 0 },
  }
end

-- The gateway itself, then who is connected. peers: those that are ready, in order.
function World:presence(peers)
  local list = json.array {
    {
      host = "simulator",
      version = self.version,
      platform = "linux",
      mode = "gateway",
      reason = "self",
      text = ("Gateway: simulator · app %s · mode gateway · reason self"):format(self.version),
      ts = now_ms(),
    },
  }
  for _, peer in ipairs(peers) do
    list[#list + 1] = {
      host = peer.client.displayName or peer.client.id,
      version = peer.client.version,
      platform = peer.client.platform,
      deviceFamily = peer.client.deviceFamily,
      mode = peer.client.mode,
      reason = "connect",
      roles = json.array { "operator" },
      scopes = peer.scopes,
      deviceId = peer.device_id,
      instanceId = peer.conn_id,
      text = ("Node: %s · mode %s"):format(peer.client.id, peer.client.mode),
      ts = now_ms(),
    }
  end
  return list
end

-- protocol, version: of the gateway
return function(raw, protocol, version)
  uuid, now_ms = raw.uuid, raw.now_ms
  local world = setmetatable({
    protocol = protocol,
    version = version,
    agents = {},
    sessions = {},
    by_key = {},
  }, World)
  world:add_agent("main")
  world:add_session("main")
  return world
end
