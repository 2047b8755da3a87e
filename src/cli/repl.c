/* repl.c - `gatehouse repl`: Lua, line by line, in an app of the running host. */
#include "cli/control_client.h"
#include "cli/line_editor.h"
#include "host/state_dir.h"
#include "protocol/json.h"

#include <stdio.h>

typedef struct {
    ControlClient client;
    const char *app;
    LineEditor *editor;
    Buffer chunk;  /* lines that are no whole chunk yet */
    Buffer reason; /* and why not */
    bool failed;   /* a chunk raised */
    bool gone;     /* the host is */
} Repl;

/* --- completion ---------------------------------------------------------------------------------------------------------------- */

static void complete(void *context, Slice start, Buffer *names)
{
    Repl *repl = context;
    Buffer request = control_client_request(&repl->client, "complete");
    Slice result, name;

    json_write_member_string(&request, "app", repl->app);
    json_write_key(&request, "text");
    (void)json_write_string(&request, start);
    if (!control_client_ask(&repl->client, &request, &result)) return;
    JsonCursor cursor = json_cursor(json_find(result, "names"));
    while (json_next_element(&cursor, &name)) {
        (void)json_get_string(name, names);
        buffer_append_char(names, '\n');
    }
}

/* --- reading, running, printing ------------------------------------------------------------------------------------------------- */

static void forget_chunk(Repl *repl)
{
    buffer_clear(&repl->chunk);
    buffer_clear(&repl->reason);
}

static void fail_chunk(Repl *repl, Slice message)
{
    repl->failed = true;
    control_print_error(message);
}

static void run_chunk(Repl *repl)
{
    ControlClient *client = &repl->client;
    Buffer request = control_client_request(client, "eval"), text = {0};
    Slice result;

    json_write_member_string(&request, "app", repl->app);
    json_write_key(&request, "code");
    (void)json_write_string(&request, buffer_slice(&repl->chunk));
    if (control_client_ask(client, &request, &result)) {
        (void)json_get_string(json_find(result, "text"), &text);
        if (buffer_size(&text) > 0 && !control_print(client->context.command, buffer_slice(&text))) repl->gone = true;
        buffer_free(&text);
        forget_chunk(repl);
    } else if (strcmp(client->code, "INCOMPLETE") == 0) {
        buffer_clear(&repl->reason);
        buffer_append_slice(&repl->reason, buffer_slice(&client->message));
    } else {
        repl->gone = *client->code == '\0';
        fail_chunk(repl, buffer_slice(&client->message));
        forget_chunk(repl);
    }
}

static bool is_blank(Slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (!strchr(" \t\r\n", text.data[i])) return false;
    }
    return true;
}

static void loop(Repl *repl)
{
    char first[80], further[80];

    (void)snprintf(first, sizeof first, "%s> ", repl->app);
    (void)snprintf(further, sizeof further, "%s>> ", repl->app);
    while (!repl->gone) {
        bool begins = buffer_size(&repl->chunk) == 0;
        if (!begins) buffer_append_char(&repl->chunk, '\n');
        LineEvent event = line_editor_read(repl->editor, begins ? first : further, &repl->chunk);
        if (event == LINE_END) break;
        if (event == LINE_ABANDONED || is_blank(buffer_slice(&repl->chunk))) {
            forget_chunk(repl);
        } else {
            run_chunk(repl);
        }
    }
    if (buffer_size(&repl->reason) > 0) fail_chunk(repl, buffer_slice(&repl->reason)); /* and nothing more came */
    if (line_editor_is_terminal(repl->editor) && !repl->gone) (void)putchar('\n');
}

/* The host is asked before the first prompt whether it has the app. */
static int find_app(Repl *repl)
{
    Buffer request = control_client_request(&repl->client, "hello"), apps = {0};
    Slice result, name;

    if (!control_client_ask(&repl->client, &request, &result)) return control_client_fail(&repl->client);
    JsonCursor cursor = json_cursor(json_find(result, "apps"));
    while (json_next_element(&cursor, &name)) {
        if (buffer_size(&apps) > 0) buffer_append_text(&apps, ", ");
        size_t before = buffer_size(&apps);
        (void)json_get_string(name, &apps);
        Slice text = slice_make(buffer_slice(&apps).data + before, buffer_size(&apps) - before);
        if (!slice_is(text, repl->app)) continue;
        buffer_free(&apps);
        return CLI_OK;
    }
    int status = command_fail(repl->client.context.command, CLI_FAILED,
                              "there is no app \"%s\" in the running host; it has: %.*s", repl->app,
                              SLICE_ARGS(buffer_slice(&apps)));
    buffer_free(&apps);
    return status;
}

static int converse(Repl *repl)
{
    const Command *command = repl->client.context.command;
    char path[PATH_MAX], problem[256];

    if (!state_dir_path(repl->client.state_dir, "repl.history", path, sizeof path, problem, sizeof problem))
        return command_fail(command, CLI_FAILED, "%s", problem);
    const LineEditorConfig config = {.history = path, .context = repl, .complete = complete};
    repl->editor = line_editor_new(&config);
    if (!repl->editor) return command_fail(command, CLI_FAILED, "there is not enough memory");
    bool terminal = line_editor_is_terminal(repl->editor);
    if (terminal)
        (void)printf("Lua in the app %s (process %ld). Tab completes, ctrl-C abandons a line, ctrl-D ends.\n",
                     repl->app, (long)repl->client.pid);
    loop(repl);
    line_editor_free(repl->editor);
    return repl->gone || (repl->failed && !terminal) ? CLI_FAILED : CLI_OK;
}

static int repl_main(const Command *command, const Parsed *parsed)
{
    Repl repl = {.app = parsed->count > 0 ? parsed->arguments[0] : NULL};

    if (parsed->count != 1) return command_misused(command, "name one app");
    if (!config_is_app_name(slice_of(repl.app)))
        return command_misused(command, "\"%s\" is no name of an app", repl.app);
    int status = control_client_open(&repl.client, command, parsed);
    if (status == CLI_OK) status = find_app(&repl);
    if (status == CLI_OK) status = converse(&repl);
    buffer_free(&repl.chunk);
    buffer_free(&repl.reason);
    control_client_close(&repl.client);
    return status;
}

const Command command_repl = {
    .name = "repl",
    .arguments = "APP",
    .summary = "Type Lua into an app of the running host",
    .details = "What is typed runs between two events, in the app's state; an expression\n"
               "prints its values. A chunk may have several lines. The tab key completes\n"
               "names. What a chunk prints is shown here when it has ended; what the functions\n"
               "of the app print goes to the log of the host.\n\n"
               "Without a terminal the lines come from stdin, and the exit status is 1 if one\n"
               "of them raised.\n",
    .shared = &control_options,
    .run = repl_main,
};
