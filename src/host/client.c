/* client.c - link and session, each other's sink; time and randomness come in here. */
#include "host/client.h"

#include "host/client_private.h"
#include "host/identity_file.h"
#include "host/state_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_MESSAGE_BYTES (64u << 20) /* more than a gateway buffers for a client, so than any frame of it has */
#define MAX_QUEUE_BYTES (96u << 20)   /* more than the session writes ahead, or than it writes at a time */

static int64_t now_ms(const Client *client)
{
    return loop_now_ms(client->loop);
}

/* --- what the session wants ------------------------------------------------------------------------------------------------- */

static void session_wants_dial(void *context)
{
    Client *client = context;
    client->dialed = true;
    link_dial(client->link);
}

static void session_wants_write(void *context, Buffer *text)
{
    Client *client = context;

    if (link_send(client->link, text)) return;
    /* Not open any more: its end is on the way to the session. Open and full: the peer takes nothing, which is an end too. */
    size_t queued = link_queued_bytes(client->link);
    if (queued > 0)
        log_print(client->config.log, LOG_WARN, NULL, "the gateway takes nothing: %zu bytes wait to be sent to it",
                  queued);
    link_close(client->link, 1011, "write queue full");
}

static size_t session_asks_unwritten(void *context)
{
    const Client *client = context;
    return link_queued_bytes(client->link);
}

static void session_wants_close(void *context, unsigned code, const char *reason)
{
    Client *client = context;
    link_close(client->link, code, reason);
}

static void session_has_event(void *context, const Frame *frame)
{
    Client *client = context;
    if (client->sink.event) client->sink.event(client->sink.context, frame);
}

static void session_has_reply(void *context, const SessionReply *reply)
{
    Client *client = context;
    if (client->sink.reply) client->sink.reply(client->sink.context, reply);
}

/* Only what follows hello-ok may have to wait: a handshake that is not read runs into its time limit. */
static void apply_pause(Client *client)
{
    SessionStatus status;

    session_status(client->session, &status);
    bool pause = client->paused && status.state == SESSION_READY;
    link_pause(client->link, pause);
    session_reading(client->session, now_ms(client), !pause);
}

static void session_has_notice(void *context, const SessionNotice *notice)
{
    Client *client = context;

    client_log(client, notice);
    if (client->paused && (notice->type == SESSION_NOTICE_READY || notice->type == SESSION_NOTICE_CLOSED))
        apply_pause(client);
    if (client->sink.notice) client->sink.notice(client->sink.context, notice);
}

static void session_has_device_token(void *context, const char *token)
{
    Client *client = context;
    token_saver_put(client->saver, token);
}

static void session_wants_id(void *context, char id[37])
{
    Client *client = context;
    random_pool_uuid(&client->random, id);
}

static uint32_t session_wants_random(void *context)
{
    Client *client = context;
    uint32_t bits;

    random_pool_take(&client->random, &bits, sizeof bits);
    return bits;
}

/* --- what the link brings --------------------------------------------------------------------------------------------------- */

static void link_opened(void *context)
{
    Client *client = context;
    session_opened(client->session, now_ms(client));
}

static void link_text(void *context, Slice text)
{
    Client *client = context;
    session_text(client->session, now_ms(client), text);
}

static void link_drained(void *context)
{
    Client *client = context;
    session_drained(client->session);
}

static void link_alive(void *context)
{
    Client *client = context;
    session_alive(client->session, now_ms(client));
}

static void link_closed(void *context, const LinkClose *how)
{
    Client *client = context;
    SessionClose close = {.code = how->code,
                          .reason = how->reason,
                          .http_status = how->http_status,
                          .retry_after_ms = how->retry_after_ms,
                          .fatal = how->fatal};

    client->dialed = false;
    session_closed(client->session, now_ms(client), &close);
    if (client->stopping) loop_soon(client->loop, &client->stopped);
}

/* --- time ------------------------------------------------------------------------------------------------------------------- */

/* Every message moves the watchdog's time on. A timer that is too early is left as it is: it finds nothing due and is set
 * again, once in a tick interval, where moving it would cost a change with every turn. */
static void on_turn_end(void *context)
{
    Client *client = context;
    int64_t due_ms = session_due_ms(client->session);

    if (due_ms >= client->armed_ms) return;
    client->armed_ms = due_ms;
    (void)loop_timer_set(client->loop, &client->timer, due_ms);
}

static void on_time(void *context)
{
    Client *client = context;

    client->armed_ms = HEAP_NEVER;
    session_time(client->session, now_ms(client));
}

static void on_stopped(void *context)
{
    Client *client = context;
    client->sink.stopped(client->sink.context);
}

/* --- construction ----------------------------------------------------------------------------------------------------------- */

static bool make_link(Client *client, const LinkTarget *target, bool carries_secret, char *problem, size_t problem_size)
{
    const Config *config = client->config.config;
    LinkSink sink = {.context = client,
                     .opened = link_opened,
                     .text = link_text,
                     .alive = link_alive,
                     .drained = link_drained,
                     .closed = link_closed};
    LinkConfig link = {.target = *target,
                       .ca_file = config_text(config, SETTING_CA_FILE),
                       .tls_fingerprint = config_text(config, SETTING_TLS_FINGERPRINT),
                       .proxy = link_proxy_from_environment(target),
                       .carries_secret = carries_secret,
                       .allow_insecure = config_flag(config, SETTING_ALLOW_INSECURE),
                       .max_message_bytes = MAX_MESSAGE_BYTES,
                       .max_queue_bytes = MAX_QUEUE_BYTES};

    client->link = link_new(client->loop, &link, &sink, problem, problem_size);
    return client->link != NULL;
}

static bool make_session(Client *client, const LinkTarget *target, const char *device_token, char *problem,
                         size_t problem_size)
{
    const Config *config = client->config.config;
    SessionSink sink = {.context = client,
                        .dial = session_wants_dial,
                        .write = session_wants_write,
                        .unwritten = session_asks_unwritten,
                        .close = session_wants_close,
                        .event = session_has_event,
                        .reply = session_has_reply,
                        .notice = session_has_notice,
                        .device_token = session_has_device_token,
                        .new_id = session_wants_id,
                        .random = session_wants_random};
    bool pinned = target->tls && config_text(config, SETTING_TLS_FINGERPRINT);
    SessionConfig session = {.identity = client->identity,
                             .token = config_token(config),
                             .password = config_password(config),
                             .device_token = *device_token ? device_token : NULL,
                             .device_token_retry = pinned || link_host_is_loopback(target->host),
                             .client_version = GATEHOUSE_VERSION,
                             .platform = "linux",
                             .display_name = config_text(config, SETTING_DISPLAY_NAME),
                             .role = config_text(config, SETTING_ROLE),
                             .scopes = config_list(config, SETTING_SCOPES),
                             .caps = config_list(config, SETTING_CAPS)};

    client->session = session_new(&session, &sink);
    if (!client->session) (void)snprintf(problem, problem_size, "not enough memory for a connection");
    return client->session != NULL;
}

/* The gateway is known by its URL without the query. */
static DeviceTokenKey token_key(const Client *client)
{
    return (DeviceTokenKey){.state_dir = client->state_dir,
                            .device_id = identity_id(client->identity),
                            .url = client->shown_url,
                            .role = config_text(client->config.config, SETTING_ROLE)};
}

static bool read_target(Client *client, LinkTarget *target, char *problem, size_t problem_size)
{
    if (!link_target_parse(config_text(client->config.config, SETTING_URL), target, problem, problem_size))
        return false;
    (void)snprintf(client->shown_url, sizeof client->shown_url, "%s://%s%.*s", target->tls ? "wss" : "ws",
                   target->authority, (int)strcspn(target->path, "?"), target->path);
    return true;
}

static bool open_state(Client *client, char *device_token, char *problem, size_t problem_size)
{
    const char *folder = config_text(client->config.config, SETTING_STATE_DIR);
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (!state_dir_open(folder, client->state_dir, sizeof client->state_dir, problem, problem_size)) return false;
    client->identity = identity_file_open(client->state_dir, (int64_t)now.tv_sec * 1000, NULL, problem, problem_size);
    if (!client->identity) return false;
    DeviceTokenKey key = token_key(client);
    if (!device_tokens_get(&key, device_token, problem, problem_size)) return false;
    client->saver = token_saver_new(&key, client->config.log);
    if (!client->saver) (void)snprintf(problem, problem_size, "not enough memory for a connection");
    return client->saver != NULL;
}

Client *client_new(Loop *loop, const ClientConfig *config, const ClientSink *sink, char *problem, size_t problem_size)
{
    char device_token[DEVICE_TOKENS_TOKEN_SIZE] = "";
    LinkTarget target;
    Client *client = calloc(1, sizeof *client);

    if (!client) {
        (void)snprintf(problem, problem_size, "not enough memory for a connection");
        return NULL;
    }
    client->loop = loop;
    client->config = *config;
    client->sink = *sink;
    client->armed_ms = HEAP_NEVER;
    client->timer = (LoopTimer){.fire = on_time, .context = client};
    client->stopped = (LoopSoon){.run = on_stopped, .context = client};
    client->turn = (LoopTurn){.end = on_turn_end, .context = client};

    bool made =
        read_target(client, &target, problem, problem_size) &&
        open_state(client, device_token, problem, problem_size) &&
        make_link(client, &target, config_token(config->config) || config_password(config->config) || *device_token,
                  problem, problem_size) &&
        make_session(client, &target, device_token, problem, problem_size);
    explicit_bzero(device_token, sizeof device_token);
    if (!made) {
        client_free(client);
        return NULL;
    }
    loop_on_turn_end(loop, &client->turn);
    return client;
}

void client_free(Client *client)
{
    if (!client) return;
    loop_off_turn_end(client->loop, &client->turn);
    (void)loop_timer_set(client->loop, &client->timer, HEAP_NEVER);
    loop_not_soon(client->loop, &client->stopped);
    session_free(client->session); /* first: it ends what is pending, but asks nothing of the link any more */
    link_free(client->link);
    token_saver_free(client->saver);
    identity_free(client->identity);
    explicit_bzero(&client->random, sizeof client->random);
    free(client);
}

void client_start(Client *client)
{
    session_start(client->session, now_ms(client));
}

void client_stop(Client *client)
{
    client->stopping = true;
    session_stop(client->session, now_ms(client));
    if (!client->dialed) loop_soon(client->loop, &client->stopped);
}

void client_resume(Client *client)
{
    session_set_secrets(client->session, config_token(client->config.config), config_password(client->config.config));
    session_resume(client->session, now_ms(client));
}

void client_request(Client *client, SessionRequest *request)
{
    session_request(client->session, now_ms(client), request);
}

void client_cancel(Client *client, unsigned owner, uint64_t token)
{
    session_cancel(client->session, now_ms(client), owner, token);
}

void client_pause(Client *client, bool paused)
{
    client->paused = paused;
    apply_pause(client);
}

const char *client_url(const Client *client)
{
    return client->shown_url;
}

void client_status(const Client *client, SessionStatus *out)
{
    session_status(client->session, out);
}

Slice client_hello(const Client *client)
{
    return session_hello(client->session);
}
