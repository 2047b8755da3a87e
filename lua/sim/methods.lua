-- The methods that only read or subscribe: agents, sessions, health. Those that make an agent work are in runs.lua.
local schema = require "gatehouse.sim.schema"

local READ, WRITE = "operator.read", "operator.write"

local text = schema.string { least = 1 }
local count = schema.integer { least = 1 }
local nothing = schema.object {}

local function invalid(message)
  return { code = "INVALID_REQUEST", message = message }
end

local function message_list(session, limit)
  local messages = session and session.messages or {}
  local first = limit and math.max(1, #messages - limit + 1) or 1
  return table.move(messages, first, #messages, 1, json.array())
end

local methods = {}

function methods.register(gateway)
  local requests, world = gateway.requests, gateway.world

  requests:register("health", function() return world:health() end)

  requests:register("status", function()
    return {
      version = gateway.version,
      uptimeMs = gateway.raw.now_ms() - gateway.started_ms,
      sessions = { count = #world.sessions },
    }
  end, { scope = READ })

  requests:register("system-presence", function()
    return world:presence(gateway:ready_peers())
  end, { scope = READ, schema = nothing })

  requests:register("agents.list", function() return world:agents_list() end, { scope = READ, schema = nothing })

  requests:register("sessions.list", function(params)
    local sessions = world:recent_sessions(params.limit, params.agentId)
    local rows = json.array()
    for i, session in ipairs(sessions) do rows[i] = world:session_row(session) end
    return {
      ts = gateway.raw.now_ms(),
      path = "/srv/openclaw/state/sessions",
      count = #rows,
      defaults = { modelProvider = "sim", model = "echo-1", contextTokens = 128000 },
      sessions = rows,
    }
  end, {
    scope = READ,
    schema = schema.object {
      "limit?", count,
      "activeMinutes?", count,
      "includeGlobal?", schema.boolean,
      "includeUnknown?", schema.boolean,
      "includeDerivedTitles?", schema.boolean,
      "includeLastMessage?", schema.boolean,
      "label?", text,
      "spawnedBy?", text,
      "agentId?", text,
      "search?", schema.string(),
    },
  })

  requests:register("sessions.describe", function(params)
    local session = world:find_session(params.key)
    return { session = session and world:session_row(session) or json.null }
  end, { scope = READ, schema = schema.object { "key", text } })

  requests:register("sessions.create", function(params)
    local agent = params.agentId or world.agents[1].id
    if not world:has_agent(agent) then return nil, invalid(("unknown agent id \"%s\""):format(agent)) end
    local key = params.key or ("agent:%s:dashboard:%s"):format(agent, gateway.raw.uuid())
    local session = world:add_session(key, params.label)
    gateway.runs:tell_changed(session, { reason = "create" })
    local entry = world:session_row(session)
    return { ok = true, key = session.key, sessionId = session.id, entry = entry, runStarted = false }
  end, {
    scope = WRITE,
    schema = schema.object { "key?", text, "agentId?", text, "label?", text, "model?", text, "idempotencyKey?", text },
  })

  requests:register("sessions.patch", function(params)
    local session = world:add_session(params.key, params.label)
    gateway.runs:tell_changed(session, { reason = "patch" })
    return { ok = true, key = session.key, entry = world:session_row(session) }
  end, { scope = "operator.admin", schema = schema.object { "key", text, "label?", text } })

  requests:register("sessions.get", function(params)
    return { messages = message_list(world:find_session(params.key), params.limit) }
  end, { scope = READ, schema = schema.object { "key", text, "limit?", count } })

  requests:register("chat.history", function(params)
    local session = world:find_session(params.sessionKey)
    local history = { sessionKey = params.sessionKey, messages = message_list(session, params.limit) }
    history.sessionId = session and session.id
    if gateway.protocol == 4 then
      history.totalMessages = session and session.message_count or 0
      history.hasMore = #history.messages < history.totalMessages
    else
      history.thinkingLevel = "off"
    end
    return history
  end, { scope = READ, schema = schema.object { "sessionKey", text, "limit?", count, "maxChars?", count } })

  local function subscription(method, wanted, change)
    local by_key = method:find("messages", 1, true)
    requests:register(method, function(params, peer)
      change(peer, params)
      return { subscribed = wanted, key = params.key }
    end, { scope = READ, schema = by_key and schema.object { "key", text } or nothing })
  end
  subscription("sessions.subscribe", true, function(peer) peer.wants_sessions = true end)
  subscription("sessions.unsubscribe", false, function(peer) peer.wants_sessions = false end)
  subscription("sessions.messages.subscribe", true, function(peer, params)
    peer.messages[world:resolve(params.key)] = true
  end)
  subscription("sessions.messages.unsubscribe", false, function(peer, params)
    peer.messages[world:resolve(params.key)] = nil
  end)
end

return methods
