/* call.c - `gatehouse call`: one request; the payload on stdout as it came, the error on stderr. The first attempt to connect that
 * fails ends it: who calls wants an answer, or to know why there is none. */
#include "cli/command.h"
#include "cli/context.h"
#include "host/client.h"
#include "protocol/json.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_PARAMS_BYTES (64u << 20)

typedef struct {
    Context context;
    const char *method;
    Client *client;
    int status;
    bool decided; /* the status is */
} Call;

static void end(Call *call, int status)
{
    if (call->decided) return;
    call->decided = true;
    call->status = status;
    client_stop(call->client);
}

static void on_stopped(void *context)
{
    Call *call = context;
    loop_stop(call->context.loop);
}

static void on_notice(void *context, const SessionNotice *notice)
{
    Call *call = context;
    Buffer text = {0};

    /* 0 ms: the session tries another secret, or was told to come back at once. */
    if (notice->type != SESSION_NOTICE_CLOSED || notice->retry_ms == 0 || call->decided) return;
    SessionNotice final = *notice;
    final.retry_ms = -1;
    client_tell(call->client, &final, &text);
    (void)command_fail(call->context.command, CLI_FAILED, "%.*s", SLICE_ARGS(buffer_slice(&text)));
    buffer_free(&text);
    end(call, CLI_FAILED);
}

/* --- the answer ------------------------------------------------------------------------------------------------------------- */

/* The bytes that came; on a terminal what it would obey is escaped, which leaves the value as it is. False with errno. */
static bool print_raw(FILE *stream, Slice json)
{
    Buffer plain = {0};

    if (isatty(fileno(stream))) {
        log_append_plain_json(&plain, json);
        json = buffer_slice(&plain);
    }
    bool written = !plain.failed && fwrite(json.data, 1, json.size, stream) == json.size &&
                   fputc('\n', stream) != EOF && fflush(stream) == 0;
    buffer_free(&plain);
    return written;
}

/* What protocol 4 says in details.missingScope, 3 says in the message only. */
static void missing_scope(Slice error, const char *message, char *scope, size_t size)
{
    static const char prefix[] = "missing scope: ";

    if (json_copy_string(json_find(json_find(error, "details"), "missingScope"), scope, size)) return;
    if (strncmp(message, prefix, sizeof prefix - 1) == 0)
        (void)snprintf(scope, size, "%.100s", message + sizeof prefix - 1);
}

static void print_error(const Call *call, Slice raw)
{
    FrameError error;
    char scope[128] = "", hint[256] = "", detail[80] = "";

    if (call->context.parsed->values[OPTION_JSON]) {
        (void)print_raw(stderr, raw);
        return;
    }
    frame_read_error(raw, &error);
    missing_scope(raw, error.message, scope, sizeof scope);
    if (*scope) {
        (void)snprintf(hint, sizeof hint,
                       "; add %.64s to the setting scopes (--scopes), which the gateway has to grant to this device",
                       scope);
    } else if (error.retry_after_ms >= 0) {
        (void)snprintf(hint, sizeof hint, "; try again in %.1f s", (double)error.retry_after_ms / 1000);
    }
    if (*error.detail_code) (void)snprintf(detail, sizeof detail, " (%s)", error.detail_code);
    (void)command_fail(call->context.command, CLI_FAILED, "%s: %s: %s%s%s", call->method, error.code, error.message,
                       detail, hint);
}

static void on_reply(void *context, const SessionReply *reply)
{
    Call *call = context;

    if (!reply->last || call->decided) return; /* --final: the first answer only says that there will be a second */
    if (!reply->ok) {
        print_error(call, reply->error);
        end(call, CLI_FAILED);
    } else if (!json_validate(reply->payload, NULL)) {
        end(call, command_fail(call->context.command, CLI_FAILED,
                               "%s: BAD_RESPONSE: the gateway's answer is not valid JSON", call->method));
    } else if (print_raw(stdout, reply->payload)) {
        end(call, CLI_OK);
    } else {
        end(call, errno == EPIPE ? CLI_FAILED
                                 : command_fail(call->context.command, CLI_FAILED,
                                                "the answer could not be written: %s", strerror(errno)));
    }
}

static void on_signal(void *context, int signal)
{
    (void)signal;
    end(context, CLI_FAILED);
}

/* --- the request ------------------------------------------------------------------------------------------------------------ */

static bool read_stdin(Buffer *out)
{
    for (;;) {
        char *room = buffer_reserve(out, 65536);
        ssize_t got = room ? read(STDIN_FILENO, room, 65536) : -1;
        if (got < 0 && room && errno == EINTR) continue;
        if (got <= 0) return got == 0;
        buffer_commit(out, (size_t)got);
        if (buffer_size(out) > MAX_PARAMS_BYTES) return false;
    }
}

/* Reads and checks the params; before anything is connected. */
static int read_params(const Command *command, const char *argument, Buffer *params)
{
    JsonError error;

    if (strcmp(argument, "-") != 0) {
        buffer_append_text(params, argument);
    } else if (!read_stdin(params)) {
        return command_fail(command, CLI_FAILED, "the params could not be read from standard input");
    }
    if (params->failed) return command_fail(command, CLI_FAILED, "there is not enough memory for the params");
    if (!json_validate(buffer_slice(params), &error)) {
        return command_fail(command, CLI_USAGE, "the params are no JSON: byte %zu: %s", error.offset + 1, error.text);
    }
    if (json_type(slice_make(buffer_slice(params).data + strspn(buffer_slice(params).data, " \t\r\n"), 1)) !=
        JSON_OBJECT) {
        return command_fail(command, CLI_USAGE, "the params must be a JSON object, as in '{\"key\":\"main\"}'");
    }
    return CLI_OK;
}

static int connect_and_call(Call *call, Buffer *params, int64_t timeout_ms)
{
    static const int signals[] = {SIGINT, SIGTERM};
    char problem[1024];
    ClientConfig config = {.config = call->context.config, .log = call->context.log, .quiet = true};
    ClientSink sink = {.context = call, .reply = on_reply, .notice = on_notice, .stopped = on_stopped};
    SessionRequest request = {.token = 1,
                              .method = slice_of(call->method),
                              .timeout_ms = timeout_ms,
                              .wait_ms = timeout_ms,
                              .final = call->context.parsed->values[OPTION_FINAL] != NULL};

    call->client = client_new(call->context.loop, &config, &sink, problem, sizeof problem);
    if (!call->client) return command_fail(call->context.command, CLI_FAILED, "%s", problem);
    if (!loop_on_signals(call->context.loop, signals, 2, on_signal, call)) {
        return command_fail(call->context.command, CLI_FAILED, "signals cannot be watched");
    }
    client_start(call->client);
    request.params = buffer_take(params);
    client_request(call->client, &request);
    loop_run(call->context.loop);
    return call->status;
}

static int call_main(const Command *command, const Parsed *parsed)
{
    Call call = {.status = CLI_FAILED};
    Buffer params = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
    const char *timeout = parsed->values[OPTION_TIMEOUT];
    int64_t timeout_ms = SESSION_TIMEOUT_MS;
    int status;

    if (parsed->count < 1) return command_misused(command, "name a method");
    if (parsed->count > 2)
        return command_misused(command, "one method and one JSON object, not \"%s\" as well", parsed->arguments[2]);
    if (timeout && !context_milliseconds(timeout, &timeout_ms)) {
        return command_misused(command, "--timeout: it must be a number of seconds up to a day, not \"%s\"", timeout);
    }
    call.method = parsed->arguments[0];
    if (!*call.method) return command_misused(command, "the method's name is empty");
    status = parsed->count == 2 ? read_params(command, parsed->arguments[1], &params) : CLI_OK;
    if (status == CLI_OK) {
        status = context_open(&call.context, command, parsed, LOG_WARN);
        if (status == CLI_OK) status = context_read_secrets(&call.context);
        if (status == CLI_OK) status = connect_and_call(&call, &params, timeout_ms);
        client_free(call.client);
        context_close(&call.context);
    }
    buffer_free(&params);
    return status;
}

static const OptionId own_options[] = {OPTION_TIMEOUT, OPTION_FINAL, OPTION_JSON};

const Command command_call = {
    .name = "call",
    .arguments = "METHOD [JSON|-]",
    .summary = "Send one request and print the answer",
    .details = "JSON is the object of the request's params, - reads it from standard input.\n"
               "The payload of the answer goes to stdout as the gateway sent it; an error goes\n"
               "to stderr, with --json as JSON, and the exit status is 1.\n",
    .options = {own_options, sizeof own_options / sizeof *own_options},
    .shared = &connection_options,
    .run = call_main,
};
