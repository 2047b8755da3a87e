/* control_commands.c - what can be asked over the control socket. */
#include "host/control_private.h"
#include "host/suggest.h"

#include <stdio.h>
#include <unistd.h>

#define PREFIX_BYTES 200 /* of a name that is to be completed */

typedef struct {
    const char *name;
    enum { NO_APP, MAY_NAME_APP, NAMES_APP } app;
    bool runs; /* only while the host runs */
    void (*run)(const ControlRequest *request);
} ControlCommand;

static const ControlCommand commands[];

/* --- answers to calls --------------------------------------------------------------------------------------------------------- */

static void answer_call(ControlCall *call, Slice result)
{
    control_answer(call->control, call->peer, buffer_slice(&call->id), result);
    control_call_free(call);
}

static void refuse_call(ControlCall *call, const char *code, Slice message)
{
    control_refuse(call->control, call->peer, buffer_slice(&call->id), code, message);
    control_call_free(call);
}

static void answer_text(ControlCall *call, Slice text)
{
    Buffer result = {0};

    buffer_append_text(&result, "{\"text\":");
    (void)json_write_string(&result, text);
    buffer_append_char(&result, '}');
    answer_call(call, result.failed ? slice_of("{\"text\":\"\"}") : buffer_slice(&result));
    buffer_free(&result);
}

static void refuse_memory(ControlCall *call)
{
    refuse_call(call, "NO_MEMORY", slice_of("there is not enough memory"));
}

/* A HostDone for all of them. */
static void on_done(void *context, bool ok, Slice text)
{
    ControlCall *call = context;
    call->done(call, ok, text);
}

/* --- reload, eval, complete, dead ---------------------------------------------------------------------------------------------- */

static const char *app_of(const ControlRequest *request)
{
    return request->app ? app_name(request->app->app) : NULL;
}

static void reload_done(ControlCall *call, bool ok, Slice text)
{
    if (ok) {
        answer_text(call, text);
    } else {
        refuse_call(call, "RELOAD_FAILED", text);
    }
}

static void run_reload(const ControlRequest *request)
{
    ControlCall *call = control_call_new(request, reload_done);
    if (call && !host_reload(request->control->host, app_of(request), "asked for", on_done, call)) refuse_memory(call);
}

/* "…near <eof>" alone: Lua would have liked to read on. What a chunk that ran says has a traceback below it. */
static bool lacks_its_end(Slice text)
{
    static const char end[] = "near <eof>";
    const size_t size = sizeof end - 1;

    while (text.size > 0 && text.data[text.size - 1] == '\n') {
        text.size--;
    }
    return text.size >= size && memcmp(text.data + text.size - size, end, size) == 0 &&
           !memchr(text.data, '\n', text.size);
}

static void eval_done(ControlCall *call, bool ok, Slice text)
{
    if (ok) {
        answer_text(call, text);
    } else {
        refuse_call(call, lacks_its_end(text) ? "INCOMPLETE" : "EVAL_FAILED", text);
    }
}

static void run_eval(const ControlRequest *request)
{
    Buffer code = {0};
    Slice given = json_find(request->request, "code");

    if (!json_get_string(given, &code)) {
        control_refuse(request->control, request->peer, request->id, "BAD_REQUEST",
                       slice_of("eval needs \"code\": a text"));
    } else {
        ControlCall *call = control_call_new(request, eval_done);
        bool asked = call && host_eval(request->control->host, app_of(request), buffer_slice(&code), on_done, call);
        if (call && !asked) refuse_memory(call);
    }
    buffer_free(&code);
}

/* Names are what is left when all is taken away that no name has: so it does not matter how a REPL shows a text. */
static void complete_done(ControlCall *call, bool ok, Slice text)
{
    Buffer result = {0};
    size_t begin = 0;

    if (!ok) {
        refuse_call(call, "EVAL_FAILED", text);
        return;
    }
    buffer_append_text(&result, "{\"names\":[");
    for (size_t i = 0; i <= text.size; i++) {
        char c = i < text.size ? text.data[i] : ' ';
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
            c == ':')
            continue;
        if (i > begin) {
            if (result.base[result.end - 1] != '[') buffer_append_char(&result, ',');
            (void)json_write_string(&result, slice_make(text.data + begin, i - begin));
        }
        begin = i + 1;
    }
    buffer_append_text(&result, "]}");
    answer_call(call, result.failed ? slice_of("{\"names\":[]}") : buffer_slice(&result));
    buffer_free(&result);
}

/* Walks the tables without calling anything of the app's. gw.state stands in front of one and hands its members out itself. %s twice:
 * `gw.`, and what the names begin with. */
#define COMPLETE                                                                               \
    "local path, start, names, seen, value, gw = '%.*s', '%s', {}, {}, _G, rawget(_G, 'gw')\n" \
    "local function add(name)\n"                                                               \
    "  if type(name) == 'string' and not seen[name] and name:sub(1, #start) == start\n"        \
    "      and name:find('^[%%a_][%%w_]*$') and #name <= 100 and #names < 1000 then\n"         \
    "    seen[name] = true\n"                                                                  \
    "    names[#names + 1] = path .. name\n"                                                   \
    "  end\n"                                                                                  \
    "end\n"                                                                                    \
    "local state\n"                                                                            \
    "for name in path:gmatch('[^.:]+') do\n"                                                   \
    "  if value == gw and name == 'state' then\n"                                              \
    "    state, value = gw.state, nil\n"                                                       \
    "  elseif state then\n"                                                                    \
    "    state, value = nil, state[name]\n"                                                    \
    "  else\n"                                                                                 \
    "    value = type(value) == 'table' and rawget(value, name) or nil\n"                      \
    "  end\n"                                                                                  \
    "end\n"                                                                                    \
    "if state then for name in pairs(state) do add(name) end end\n"                            \
    "if value and value == gw then add('state') end\n"                                         \
    "for _ = 1, 8 do\n"                                                                        \
    "  if type(value) ~= 'table' then break end\n"                                             \
    "  for name in next, value do add(name) end\n"                                             \
    "  local meta = getmetatable(value)\n"                                                     \
    "  value = type(meta) == 'table' and rawget(meta, '__index') or nil\n"                     \
    "end\n"                                                                                    \
    "table.sort(names)\n"                                                                      \
    "return table.concat(names, ' ')"

static void run_complete(const ControlRequest *request)
{
    char text[PREFIX_BYTES + 1];
    Buffer code = {0};
    bool given = json_copy_string(json_find(request->request, "text"), text, sizeof text);
    const char *start = text;

    for (const char *at = text; *at; at++) {
        bool separates = *at == '.' || *at == ':';
        given = given &&
                (separates || *at == '_' || (*at >= '0' && *at <= '9') || ((*at | 32) >= 'a' && (*at | 32) <= 'z'));
        if (separates) start = at + 1;
    }
    if (!given || strlen(text) >= PREFIX_BYTES) {
        control_refuse(request->control, request->peer, request->id, "BAD_REQUEST",
                       slice_of("complete needs \"text\": the begin of a name, as gw.s"));
        return;
    }
    buffer_append_format(&code, COMPLETE, (int)(start - text), text, start);
    ControlCall *call = control_call_new(request, complete_done);
    bool asked = call && host_eval(request->control->host, app_of(request), buffer_slice(&code), on_done, call);
    if (call && !asked) refuse_memory(call);
    buffer_free(&code);
}

static void dead_done(ControlCall *call, bool ok, Slice text)
{
    Buffer result = {0};

    if (!ok) {
        refuse_call(call, "DEAD_FAILED", text);
        return;
    }
    (void)control_write_raw(&result, text);
    answer_call(call, result.failed ? slice_of("null") : buffer_slice(&result));
    buffer_free(&result);
}

static void run_dead(const ControlRequest *request)
{
    ControlCall *call = control_call_new(request, dead_done);
    bool retry = json_is_true(json_find(request->request, "retry"));
    if (call && !host_dead(request->control->host, app_of(request), retry, on_done, call)) refuse_memory(call);
}

/* --- the rest ----------------------------------------------------------------------------------------------------------------- */

static void answer(const ControlRequest *request, Buffer *result)
{
    if (result->failed) {
        control_refuse(request->control, request->peer, request->id, "NO_MEMORY",
                       slice_of("there is not enough memory"));
    } else {
        control_answer(request->control, request->peer, request->id, buffer_slice(result));
    }
    buffer_free(result);
}

static void run_ping(const ControlRequest *request)
{
    control_answer(request->control, request->peer, request->id, (Slice){0});
}

static void run_hello(const ControlRequest *request)
{
    const Host *host = request->control->host;
    Buffer result = {0};

    buffer_append_char(&result, '{');
    json_write_member_string(&result, "version", GATEHOUSE_VERSION);
    json_write_member_int(&result, "pid", getpid());
    json_write_key(&result, "commands");
    buffer_append_char(&result, '[');
    for (const ControlCommand *command = commands; command->name; command++) {
        if (command != commands) buffer_append_char(&result, ',');
        (void)json_write_string(&result, slice_of(command->name));
    }
    buffer_append_char(&result, ']');
    json_write_key(&result, "apps");
    buffer_append_char(&result, '[');
    for (int i = 0; i < host->app_count; i++) {
        const HostApp *app = host->apps[i];
        if (!app->app || app->removing) continue;
        if (result.base && result.base[result.end - 1] != '[') buffer_append_char(&result, ',');
        (void)json_write_string(&result, slice_of(app_name(app->app)));
    }
    buffer_append_text(&result, "]}");
    answer(request, &result);
}

static void run_status(const ControlRequest *request)
{
    Buffer result = {0};

    control_write_status(&result, request->control);
    answer(request, &result);
}

static void run_stop(const ControlRequest *request)
{
    Host *host = request->control->host;
    Buffer result = {0};

    buffer_append_char(&result, '{');
    json_write_member_int(&result, "pid", getpid());
    buffer_append_char(&result, '}');
    answer(request, &result);
    if (host->state > HOST_RUNNING) return; /* a second one must not cut short what the first one lets end */
    log_print(host->log, LOG_INFO, NULL, "stopping, as the control socket asks");
    host_stop(host);
}

static const ControlCommand commands[] = {
    {"ping", NO_APP, false, run_ping},          {"hello", NO_APP, false, run_hello},
    {"status", NO_APP, false, run_status},      {"reload", MAY_NAME_APP, true, run_reload},
    {"eval", NAMES_APP, true, run_eval},        {"complete", NAMES_APP, true, run_complete},
    {"tail", MAY_NAME_APP, true, control_tail}, {"dead", MAY_NAME_APP, true, run_dead},
    {"stop", NO_APP, false, run_stop},          {NULL, NO_APP, false, NULL},
};

/* --- dispatch ----------------------------------------------------------------------------------------------------------------- */

static HostApp *find_app(const Host *host, const char *name, Suggestion *suggestion)
{
    for (int i = 0; i < host->app_count; i++) {
        HostApp *app = host->apps[i];
        if (!app->app || app->removing) continue;
        if (strcmp(app_name(app->app), name) == 0) return app;
        suggest_consider(suggestion, app_name(app->app));
    }
    return NULL;
}

typedef struct {
    char *text;
    size_t size;
    const char *between;
} Names;

static bool append_name(void *context, const char *name)
{
    Names *names = context;
    size_t used = strlen(names->text), room = names->size - used;

    if (strlen(names->between) + strlen(name) + sizeof ", …" > room) {
        (void)snprintf(names->text + used, room, ", …");
        return false;
    }
    (void)snprintf(names->text + used, room, "%s%s", names->between, name);
    names->between = ", ";
    return true;
}

/* What it has, as far as there is room for it. */
static void append_names(Host *host, Names names)
{
    names.between = "; it has: ";
    (void)host_each_app(host, append_name, &names);
}

/* False, having answered, if the request does not name the app that it needs. */
static bool choose_app(ControlRequest *request, const ControlCommand *command)
{
    char name[80], hint[80], text[512];
    Slice given = json_find(request->request, "app");
    bool named = json_type(given) != JSON_NONE && json_type(given) != JSON_NULL;

    if (command->app == NO_APP || (command->app == MAY_NAME_APP && !named)) return true;
    if (!json_copy_string(given, name, sizeof name)) {
        (void)snprintf(text, sizeof text, "%s needs \"app\": the name of an app", command->name);
        control_refuse(request->control, request->peer, request->id, "BAD_REQUEST", slice_of(text));
        return false;
    }
    Suggestion suggestion = suggest_for(name);
    request->app = find_app(request->control->host, name, &suggestion);
    if (request->app) return true;
    (void)snprintf(text, sizeof text, "there is no app \"%s\" in this host%s", name,
                   suggest_text(&suggestion, hint, sizeof hint));
    if (!suggestion.best) append_names(request->control->host, (Names){.text = text, .size = sizeof text});
    control_refuse(request->control, request->peer, request->id, "NO_SUCH_APP", slice_of(text));
    return false;
}

void control_run(const ControlRequest *request, Slice command)
{
    ControlRequest own = *request;
    Slice name = json_plain_string(command);
    const ControlCommand *found = commands;

    while (found->name && !slice_is(name, found->name)) {
        found++;
    }
    if (!found->name) {
        control_refuse(own.control, own.peer, own.id, "UNKNOWN_COMMAND",
                       slice_of("\"command\" has to be one of those that hello lists"));
    } else if (found->runs && own.control->host->state != HOST_RUNNING) {
        control_refuse(own.control, own.peer, own.id, "NOT_RUNNING", slice_of("the host is stopping"));
    } else if (choose_app(&own, found)) {
        found->run(&own);
    }
}
