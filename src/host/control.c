/* control.c - the control socket: requests and answers as JSON lines (docs/control.md). What is asked is in control_commands.c. */
#include "host/control_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Lines that need nothing from the heap. */
#define TOO_LONG                                                                                                \
    "{\"v\":1,\"id\":null,\"ok\":false,\"error\":{\"code\":\"TOO_LARGE\",\"message\":\"a request has 1 MiB at " \
    "most\"}}\n"
#define TOO_MANY                                                                                            \
    "{\"v\":1,\"id\":null,\"ok\":false,\"error\":{\"code\":\"BUSY\",\"message\":\"32 connections are open " \
    "already\"}}\n"
#define NO_MEMORY                                                                                            \
    "{\"v\":1,\"id\":null,\"ok\":false,\"error\":{\"code\":\"NO_MEMORY\",\"message\":\"there is not enough " \
    "memory\"}}\n"

int64_t control_wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool control_write_raw(Buffer *out, Slice json)
{
    if (!json_validate(json, NULL)) {
        buffer_append_text(out, "null");
        return false;
    }
    size_t before = buffer_size(out);
    buffer_append_slice(out, json);
    if (out->failed) return true;
    /* Between values a line break is white space; inside of strings valid JSON has none. */
    for (char *at = out->base + out->start + before, *end = out->base + out->end; at < end; at++) {
        if (*at == '\n' || *at == '\r') *at = ' ';
    }
    return true;
}

/* --- answers ------------------------------------------------------------------------------------------------------------------ */

static void begin_answer(Buffer *out, Slice id, bool ok)
{
    buffer_append_format(out, "{\"v\":%d,\"id\":", CONTROL_VERSION);
    buffer_append_slice(out, id.size > 0 ? id : slice_of("null"));
    json_write_member_bool(out, "ok", ok);
}

/* Sends it, and takes the next request of the peer. */
static void end_answer(Control *control, uint64_t peer, Buffer *out)
{
    buffer_append_text(out, "}\n");
    (void)line_server_send(control->server, peer, out->failed ? slice_of(NO_MEMORY) : buffer_slice(out), false);
    buffer_free(out);
    line_server_next(control->server, peer);
}

void control_answer(Control *control, uint64_t peer, Slice id, Slice result)
{
    Buffer out = {0};

    begin_answer(&out, id, true);
    json_write_member_raw(&out, "result", result.size > 0 ? result : slice_of("{}"));
    end_answer(control, peer, &out);
}

void control_refuse(Control *control, uint64_t peer, Slice id, const char *code, Slice message)
{
    Buffer out = {0};

    begin_answer(&out, id, false);
    json_write_key(&out, "error");
    buffer_append_char(&out, '{');
    json_write_member_string(&out, "code", code);
    json_write_key(&out, "message");
    (void)json_write_string(&out, message);
    buffer_append_char(&out, '}');
    end_answer(control, peer, &out);
}

/* --- calls -------------------------------------------------------------------------------------------------------------------- */

ControlCall *control_call_new(const ControlRequest *request, void (*done)(ControlCall *call, bool ok, Slice text))
{
    Control *control = request->control;
    ControlCall *call = calloc(1, sizeof *call);

    if (call) {
        *call = (ControlCall){.control = control, .peer = request->peer, .done = done};
        buffer_append_slice(&call->id, request->id);
    }
    if (!call || call->id.failed) {
        free(call);
        control_refuse(control, request->peer, request->id, "NO_MEMORY", slice_of("there is not enough memory"));
        return NULL;
    }
    call->next = control->calls;
    control->calls = call;
    return call;
}

static void destroy_call(ControlCall *call)
{
    buffer_free(&call->id);
    buffer_free(&call->patterns);
    free(call);
}

void control_call_free(ControlCall *call)
{
    ControlCall **link = &call->control->calls;

    while (*link != call) {
        link = &(*link)->next;
    }
    *link = call->next;
    destroy_call(call);
}

/* --- requests ----------------------------------------------------------------------------------------------------------------- */

static bool is_id(Slice id)
{
    JsonType type = json_type(id);
    return id.size <= CONTROL_ID_BYTES &&
           (type == JSON_NONE || type == JSON_NULL || type == JSON_NUMBER || type == JSON_STRING);
}

static void on_line(void *context, uint64_t peer, Slice line)
{
    ControlRequest request = {.control = context, .peer = peer, .request = line};
    int64_t version = CONTROL_VERSION;
    const char *wrong = NULL;

    if (!json_validate(line, NULL) || json_type(line) != JSON_OBJECT) {
        wrong = "a request is a JSON object on one line: {\"v\":1,\"id\":1,\"command\":\"status\"}";
    } else if (!is_id(json_find(line, "id"))) {
        wrong = "an id is a number or a short text";
    }
    if (wrong) {
        control_refuse(context, peer, (Slice){0}, "BAD_REQUEST", slice_of(wrong));
        return;
    }
    request.id = json_find(line, "id");
    Slice v = json_find(line, "v");
    if (v.size > 0 && (!json_get_int(v, &version) || version != CONTROL_VERSION)) {
        control_refuse(context, peer, request.id, "UNSUPPORTED_VERSION",
                       slice_of("this gatehouse speaks version 1 of the control protocol"));
        return;
    }
    control_run(&request, json_find(line, "command"));
}

static void on_closed(void *context, uint64_t peer)
{
    Control *control = context;

    for (ControlCall *call = control->calls, *next; call; call = next) {
        next = call->next;
        if (call->peer == peer && call->tails) control_tail_ended(call);
    }
}

/* --- life --------------------------------------------------------------------------------------------------------------------- */

void control_notice(Control *control, const SessionNotice *notice)
{
    Buffer text = {0};

    if (!control) return;
    if (notice->type == SESSION_NOTICE_READY) {
        free(control->problem);
        control->problem = NULL;
    }
    if (notice->type != SESSION_NOTICE_CLOSED && notice->type != SESSION_NOTICE_PAUSED) return;
    client_tell(control->host->client, notice, &text);
    free(control->problem);
    control->problem = text.failed ? NULL : strndup(buffer_slice(&text).data, buffer_size(&text));
    control->problem_wall_ms = control_wall_ms();
    buffer_free(&text);
}

bool host_open_control(Host *host, const char *state_dir, char *problem, size_t problem_size)
{
    Control *control = calloc(1, sizeof *control);

    if (!control) {
        (void)snprintf(problem, problem_size, "there is not enough memory");
        return false;
    }
    *control = (Control){.host = host, .started_ms = loop_now_ms(host->loop), .started_wall_ms = control_wall_ms()};
    (void)snprintf(control->state_dir, sizeof control->state_dir, "%s", state_dir);
    const LineServerSink sink = {.context = control,
                                 .line = on_line,
                                 .closed = on_closed,
                                 .too_long = slice_of(TOO_LONG),
                                 .too_many = slice_of(TOO_MANY)};
    control->server = line_server_new(host->loop, state_dir, CONTROL_SOCKET, &sink, problem, problem_size);
    if (!control->server) {
        free(control);
        return false;
    }
    router_on_seen(host->router, control_tail_event, control);
    host->control = control;
    return true;
}

void control_free(Control *control)
{
    if (!control) return;
    router_on_seen(control->host->router, NULL, NULL);
    line_server_free(control->server);
    for (ControlCall *call = control->calls, *next; call; call = next) {
        next = call->next;
        destroy_call(call);
    }
    free(control->problem);
    free(control);
}
