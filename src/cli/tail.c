/* tail.c - `gatehouse tail`: events as JSON lines, as they arrive. A thread writes them; when the reader of stdout does not keep up,
 * reading from the gateway pauses, and the connection stays. */
#include "cli/command.h"
#include "cli/context.h"
#include "cli/tail_app.h"
#include "host/client.h"
#include "host/outlet.h"
#include "protocol/json.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define PAUSE_BYTES (4u << 20) /* waiting for stdout: the gateway has to wait as well */
#define FLUSH_MS 2000          /* for what waits when it ends */
#define ODD_EVERY_MS 10000     /* between two lines about payloads that are no JSON */

typedef struct {
    Context context;
    Client *client;
    Outlet *outlet;
    Buffer line;
    int64_t left;  /* events to print; -1: no end */
    bool terminal; /* stdout is one: what it would obey is escaped */
    bool was_ready, ending;
    int status;
    bool paused;
    LogLimit odd;
    LoopWork work; /* posted by the outlet's thread */
    atomic_bool posted;
    atomic_int error; /* of the outlet: an errno */
} Tail;

static void end(Tail *tail, int status)
{
    if (tail->ending) return;
    tail->ending = true;
    tail->status = status;
    client_stop(tail->client);
}

static void on_stopped(void *context)
{
    Tail *tail = context;
    loop_stop(tail->context.loop);
}

/* --- stdout ------------------------------------------------------------------------------------------------------------------ */

static void set_paused(Tail *tail, bool paused)
{
    if (tail->paused == paused) return;
    tail->paused = paused;
    client_pause(tail->client, paused);
}

static void on_written(LoopWork *work)
{
    Tail *tail = (Tail *)(void *)((char *)work - offsetof(Tail, work));
    int error = atomic_load(&tail->error);

    atomic_store(&tail->posted, false);
    if (error == EPIPE) {
        end(tail, CLI_OK); /* the reader has seen enough */
    } else if (error) {
        end(tail, command_fail(tail->context.command, CLI_FAILED, "stdout cannot be written: %s", strerror(error)));
    } else if (outlet_waiting(tail->outlet) < PAUSE_BYTES) {
        set_paused(tail, false);
    }
}

/* On the outlet's thread. */
static void wrote(void *context, int error)
{
    Tail *tail = context;

    if (error) atomic_store(&tail->error, error);
    if (!atomic_exchange(&tail->posted, true)) loop_post(tail->context.loop, &tail->work);
}

/* --- events ------------------------------------------------------------------------------------------------------------------ */

static bool is_wanted(const Tail *tail, Slice event)
{
    const Parsed *parsed = tail->context.parsed;

    for (int i = 0; i < parsed->count; i++) {
        const char *pattern = parsed->arguments[i];
        size_t size = strlen(pattern);
        bool prefix = size > 0 && pattern[size - 1] == '*';
        if (prefix) size--;
        if (event.size < size || (!prefix && event.size != size)) continue;
        if (memcmp(event.data, pattern, size) == 0) return true;
    }
    return parsed->count == 0;
}

/* As in gw.on; one that can never match is a mistake. */
static bool is_pattern(const char *text, bool of_an_app)
{
    size_t star = strcspn(text, "*");

    return *text && (*text != '@' || of_an_app) && (!text[star] || !text[star + 1]);
}

/* {"event":…,"payload":…,"seq":…} with the bytes that came; only line breaks, which are white space in JSON, do not stay. */
static void write_line(Tail *tail, const Frame *frame)
{
    Buffer *line = &tail->line;

    buffer_clear(line);
    buffer_append_text(line, "{\"event\":\"");
    buffer_append_slice(line, frame->event);
    buffer_append_text(line, "\",\"payload\":");
    buffer_append_slice(line, frame->payload.size > 0 ? frame->payload : slice_of("null"));
    if (frame->seq >= 0) json_write_member_int(line, "seq", frame->seq);
    json_write_member_raw(line, "stateVersion", frame->state_version);
    buffer_append_text(line, "}");
    if (tail->terminal) {
        Buffer plain = {0};
        log_append_plain_json(&plain, buffer_slice(line));
        buffer_free(line);
        *line = plain;
    }
    for (char *at = line->base + line->start, *stop = line->base + line->end; at < stop; at++) {
        if (*at == '\n' || *at == '\r') *at = ' ';
    }
    buffer_append_char(line, '\n');
}

static void on_event(void *context, const Frame *frame)
{
    Tail *tail = context;
    uint64_t skipped;
    Slice event = frame->event;

    if (tail->ending || !is_wanted(tail, event)) return;
    write_line(tail, frame);
    if (tail->line.failed || !json_validate(buffer_slice(&tail->line), NULL)) {
        if (log_allow(&tail->odd, loop_now_ms(tail->context.loop), ODD_EVERY_MS, &skipped)) {
            log_print(tail->context.log, LOG_WARN, NULL, "an event %.*s that is no valid JSON is left out",
                      SLICE_ARGS(event));
        }
        return;
    }
    size_t waiting = outlet_put(tail->outlet, buffer_slice(&tail->line));
    if (waiting == 0 && atomic_load(&tail->error) == 0) {
        end(tail, command_fail(tail->context.command, CLI_FAILED, "there is not enough memory for the events"));
    } else if (waiting > PAUSE_BYTES) {
        set_paused(tail, true);
    }
    if (tail->left > 0 && --tail->left == 0) end(tail, CLI_OK);
}

static void on_notice(void *context, const SessionNotice *notice)
{
    Tail *tail = context;

    if (notice->type == SESSION_NOTICE_READY) tail->was_ready = true;
    bool keeps_trying = tail->was_ready || tail->context.parsed->values[OPTION_WAIT];
    bool failed = notice->type == SESSION_NOTICE_CLOSED && notice->retry_ms > 0 && !keeps_trying;
    if (client_notice_is_final(notice) || failed) end(tail, CLI_FAILED);
}

static void on_signal(void *context, int signal)
{
    (void)signal;
    end(context, CLI_OK);
}

/* --- the command ------------------------------------------------------------------------------------------------------------- */

static int follow(Tail *tail)
{
    static const int signals[] = {SIGINT, SIGTERM};
    char problem[1024];
    Context *context = &tail->context;
    ClientConfig config = {.config = context->config, .log = context->log};
    ClientSink sink = {.context = tail, .event = on_event, .notice = on_notice, .stopped = on_stopped};
    OutletConfig outlet = {.fd = STDOUT_FILENO, .limit_bytes = SIZE_MAX, .context = tail, .wrote = wrote};

    tail->work.run = on_written;
    tail->terminal = isatty(STDOUT_FILENO);
    tail->client = client_new(context->loop, &config, &sink, problem, sizeof problem);
    if (!tail->client) return command_fail(context->command, CLI_FAILED, "%s", problem);
    tail->outlet = outlet_new(&outlet);
    if (!tail->outlet) return command_fail(context->command, CLI_FAILED, "not enough memory or threads");
    if (!loop_on_signals(context->loop, signals, 2, on_signal, tail)) {
        return command_fail(context->command, CLI_FAILED, "signals cannot be watched");
    }
    client_start(tail->client);
    loop_run(context->loop);
    return tail->status;
}

static int tail_main(const Command *command, const Parsed *parsed)
{
    Tail tail = {.left = -1, .status = CLI_FAILED};
    const char *count = parsed->values[OPTION_COUNT_EVENTS];
    char *stop = NULL;

    if (count) {
        tail.left = strtoll(count, &stop, 10);
        if (*stop || tail.left <= 0)
            return command_misused(command, "--count: it must be a number from 1, not \"%s\"", count);
    }
    const char *app = parsed->values[OPTION_APP];
    for (int i = 0; i < parsed->count; i++) {
        if (!is_pattern(parsed->arguments[i], app != NULL))
            return command_misused(command,
                                   "\"%s\" is no event of a gateway: a name, or a prefix with a star at its end",
                                   parsed->arguments[i]);
    }
    if (app && parsed->values[OPTION_WAIT])
        return command_misused(command, "--wait is for a gateway: an app is in a host that runs, or it is not");
    if (app) return tail_app(command, parsed, tail.left);
    int status = context_open(&tail.context, command, parsed, LOG_INFO);
    if (status == CLI_OK) status = context_read_secrets(&tail.context);
    if (status == CLI_OK) status = follow(&tail);
    if (tail.outlet) (void)outlet_free(tail.outlet, FLUSH_MS);
    client_free(tail.client);
    buffer_free(&tail.line);
    context_close(&tail.context);
    return status;
}

static const OptionId own_options[] = {OPTION_APP, OPTION_COUNT_EVENTS, OPTION_WAIT};

const Command command_tail = {
    .name = "tail",
    .arguments = "[EVENT...]",
    .summary = "Print events as JSON lines",
    .details = "EVENT is a name or a prefix with a star, as in 'session.*'; without any, all\n"
               "events are printed. It survives reconnects. Notes about the connection go to\n"
               "stderr.\n\n"
               "With --app nothing is connected: the host that runs on the state folder tells\n"
               "what it gives to that app, its own events (@ready, ...) as well.\n",
    .options = {own_options, sizeof own_options / sizeof *own_options},
    .shared = &connection_options,
    .run = tail_main,
};
