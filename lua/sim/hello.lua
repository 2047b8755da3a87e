-- hello-ok: what the gateway tells a client that it lets in.

local events = {
  "connect.challenge", "agent", "chat", "session.message", "session.tool", "sessions.changed", "presence", "tick",
  "talk.mode", "shutdown", "health", "heartbeat", "cron", "task", "node.pair.requested", "node.pair.resolved",
  "device.pair.requested", "device.pair.resolved", "voicewake.changed", "exec.approval.requested",
  "exec.approval.resolved", "update.available",
}

local function policy(gateway)
  local values = { maxPayload = 26214400, maxBufferedBytes = 52428800, tickIntervalMs = gateway.tick_ms }
  if gateway.protocol == 4 then values.attachments = { maxBytes = 19464192, maxImageBytes = 6291456 } end
  return values
end

local function snapshot(gateway)
  local main = gateway.world:resolve("main")
  return {
    presence = gateway.world:presence(gateway:ready_peers()),
    health = gateway.world:health(),
    stateVersion = gateway.state_version,
    uptimeMs = gateway.raw.now_ms() - gateway.started_ms,
    sessionDefaults = {
      defaultAgentId = gateway.world.agents[1].id,
      mainKey = "main",
      mainSessionKey = main,
      scope = "per-sender",
    },
    configPath = "/srv/openclaw/openclaw.json",
    stateDir = "/srv/openclaw/state",
    authMode = gateway.token and "token" or "none",
  }
end

-- grant: role, scopes (as told), device_token (or nil)
return function(gateway, peer, grant)
  local features = { methods = gateway.requests:names(), events = events }
  if gateway.legacy then return { connId = peer.conn_id, features = features } end

  local hello = {
    type = "hello-ok",
    protocol = gateway.protocol,
    server = { version = gateway.version, connId = peer.conn_id },
    features = features,
    snapshot = snapshot(gateway),
    auth = { role = grant.role, scopes = grant.scopes, deviceToken = grant.device_token },
    policy = policy(gateway),
  }
  if grant.device_token then hello.auth.issuedAtMs = gateway.raw.now_ms() end
  if gateway.protocol == 4 then
    hello.server.buildId = gateway.version .. "-simulator"
    hello.server.bootId = gateway.boot_id
    hello.auth.method = "token"
    hello.features.capabilities = json.array()
    hello.snapshot.suspension = { phase = "accepting" }
  end
  return hello
end
