/* control_tail.c - events on their way to an app, for somebody who watches. A peer that does not keep up misses lines, and is
 * told how many: the events themselves go to the app in any case. */
#include "host/control_private.h"

/* As in gw.on: a name, or a prefix with a star, which does not cover the host's own. */
static bool matches(Slice pattern, Slice name)
{
    if (pattern.size > 0 && pattern.data[pattern.size - 1] == '*') {
        size_t size = pattern.size - 1;
        return (name.size == 0 || name.data[0] != '@') && name.size >= size &&
               memcmp(name.data, pattern.data, size) == 0;
    }
    return slice_equals(pattern, name);
}

static bool wants(const ControlCall *call, int number, Slice name)
{
    JsonCursor cursor = json_cursor(buffer_slice(&call->patterns));
    Slice pattern;
    Buffer text = {0};
    bool wanted = buffer_size(&call->patterns) == 0;

    if (call->number >= 0 && call->number != number) return false;
    while (!wanted && json_next_element(&cursor, &pattern)) {
        buffer_clear(&text);
        wanted = json_get_string(pattern, &text) && matches(buffer_slice(&text), name);
    }
    buffer_free(&text);
    return wanted;
}

static void begin_line(const ControlCall *call, Buffer *out)
{
    buffer_append_format(out, "{\"v\":%d,\"id\":", CONTROL_VERSION);
    buffer_append_slice(out, buffer_size(&call->id) > 0 ? buffer_slice(&call->id) : slice_of("null"));
}

static void send_line(ControlCall *call, Buffer *line)
{
    buffer_append_text(line, "}\n");
    if (line->failed || !line_server_send(call->control->server, call->peer, buffer_slice(line), true)) call->missed++;
}

static bool tell_missed(ControlCall *call)
{
    Buffer line = {0};

    if (call->missed == 0) return true;
    begin_line(call, &line);
    json_write_member_int(&line, "missed", (int64_t)call->missed);
    buffer_append_text(&line, "}\n");
    bool told = !line.failed && line_server_send(call->control->server, call->peer, buffer_slice(&line), true);
    if (told) call->missed = 0;
    buffer_free(&line);
    return told;
}

static void write_event(Buffer *out, const char *app, const Message *event)
{
    buffer_append_char(out, '{');
    json_write_member_string(out, "app", app);
    json_write_key(out, "event");
    (void)json_write_string(out, event->name);
    json_write_key(out, "payload");
    bool valid = control_write_raw(out, event->payload.size > 0 ? event->payload : slice_of("null"));
    if (!valid) json_write_member_bool(out, "invalid", true);
    if (event->seq >= 0) json_write_member_int(out, "seq", event->seq);
    if (event->state_version.size > 0) {
        json_write_key(out, "stateVersion");
        (void)control_write_raw(out, event->state_version);
    }
    buffer_append_char(out, '}');
}

void control_tail_event(void *context, int number, const Message *event)
{
    Control *control = context;
    const char *app = app_name(control->host->apps[number]->app);

    for (ControlCall *call = control->calls; call; call = call->next) {
        Buffer line = {0};
        if (!call->tails || !wants(call, number, event->name)) continue;
        if (!tell_missed(call)) {
            call->missed++;
            continue;
        }
        begin_line(call, &line);
        json_write_key(&line, "event");
        write_event(&line, call->number < 0 ? app : NULL, event);
        send_line(call, &line);
        buffer_free(&line);
    }
}

/* An app is looked at as long as one tail is about it. */
static void observe(const Control *control)
{
    const Host *host = control->host;

    for (int i = 0; i < host->app_count; i++) {
        bool observed = false;
        for (const ControlCall *call = control->calls; call; call = call->next) {
            observed = observed || (call->tails && (call->number < 0 || call->number == i));
        }
        router_observe(host->router, i, observed);
    }
}

static bool are_patterns(Slice patterns)
{
    JsonCursor cursor = json_cursor(patterns);
    Slice pattern;

    if (json_type(patterns) != JSON_ARRAY) return false;
    while (json_next_element(&cursor, &pattern)) {
        if (json_type(pattern) != JSON_STRING) return false;
    }
    return true;
}

void control_tail(const ControlRequest *request)
{
    Control *control = request->control;
    Slice patterns = json_find(request->request, "events");
    Buffer line = {0};

    if (patterns.size > 0 && !are_patterns(patterns)) {
        control_refuse(control, request->peer, request->id, "BAD_REQUEST",
                       slice_of("\"events\" is an array of names and prefixes, as [\"agent\",\"session.*\"]"));
        return;
    }
    ControlCall *call = control_call_new(request, NULL);
    if (!call) return;
    call->number = request->app ? request->app->number : -1;
    if (patterns.size > 2) buffer_append_slice(&call->patterns, patterns);
    if (call->patterns.failed) {
        control_call_free(call);
        control_refuse(control, request->peer, request->id, "NO_MEMORY", slice_of("there is not enough memory"));
        return;
    }
    call->tails = true;
    observe(control);
    /* The request stays in work: its answer has no end. */
    begin_line(call, &line);
    buffer_append_text(&line, ",\"ok\":true,\"result\":{}");
    send_line(call, &line);
    buffer_free(&line);
}

void control_tail_ended(ControlCall *call)
{
    Control *control = call->control;

    control_call_free(call);
    observe(control);
}

void control_app_gone(Control *control, int number)
{
    if (!control) return;
    for (ControlCall *call = control->calls, *next; call; call = next) {
        next = call->next;
        if (!call->tails || call->number != number) continue;
        uint64_t peer = call->peer;
        Buffer line = {0};
        begin_line(call, &line);
        json_write_member_string(&line, "ended", "the app is gone");
        send_line(call, &line);
        buffer_free(&line);
        control_tail_ended(call);
        line_server_next(control->server, peer);
    }
}
