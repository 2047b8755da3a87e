/* reload.c - `gatehouse reload` and `gatehouse eval`: what the host does with an app while it runs, in the caller's terminal. */
#include "cli/control_client.h"
#include "protocol/json.h"

#include <stdio.h>

/* Takes the request; prints its result's text. */
static int ask(ControlClient *client, Buffer *request)
{
    Slice result;
    Buffer text = {0};
    int status = CLI_OK;

    if (!control_client_ask(client, request, &result)) return control_client_fail(client);
    (void)json_get_string(json_find(result, "text"), &text);
    if (buffer_size(&text) > 0 && !control_print(client->context.command, buffer_slice(&text))) status = CLI_FAILED;
    buffer_free(&text);
    return status;
}

static int reload_main(const Command *command, const Parsed *parsed)
{
    ControlClient client;

    if (parsed->count > 1)
        return command_misused(command, "name one app, or none for all of them: \"%s\" is too much",
                               parsed->arguments[1]);
    int status = control_client_open(&client, command, parsed);
    if (status == CLI_OK) {
        Buffer request = control_client_request(&client, "reload");
        if (parsed->count > 0) json_write_member_string(&request, "app", parsed->arguments[0]);
        status = ask(&client, &request);
    }
    control_client_close(&client);
    return status;
}

const Command command_reload = {
    .name = "reload",
    .arguments = "[APP]",
    .summary = "Load an app of the running host again, or all of them",
    .details = "The old code goes on if the new one does not load: the traceback is shown, and\n"
               "the exit status is 1. Without APP, apps that are new in a folder of apps are\n"
               "started, and those that are gone are stopped.\n",
    .shared = &control_options,
    .run = reload_main,
};

/* --- eval ---------------------------------------------------------------------------------------------------------------------- */

static bool read_stdin(Buffer *code)
{
    size_t got;
    char *room;

    while ((room = buffer_reserve(code, 4096)) && (got = fread(room, 1, 4096, stdin)) > 0) {
        buffer_commit(code, got);
    }
    return room && !ferror(stdin);
}

static int eval_main(const Command *command, const Parsed *parsed)
{
    ControlClient client;
    Buffer code = {0};

    if (parsed->count < 2) return command_misused(command, "name an app and the code to run in it");
    if (parsed->count > 2)
        return command_misused(command, "the code is one argument (quote it): \"%s\" is too much",
                               parsed->arguments[2]);
    if (strcmp(parsed->arguments[1], "-") != 0) {
        buffer_append_text(&code, parsed->arguments[1]);
    } else if (!read_stdin(&code)) {
        buffer_free(&code);
        return command_fail(command, CLI_FAILED, "the code cannot be read from stdin");
    }
    int status = control_client_open(&client, command, parsed);
    if (status == CLI_OK) {
        Buffer request = control_client_request(&client, "eval");
        json_write_member_string(&request, "app", parsed->arguments[0]);
        json_write_key(&request, "code");
        if (json_write_string(&request, buffer_slice(&code))) {
            status = ask(&client, &request);
        } else {
            buffer_free(&request);
            status = command_fail(command, CLI_FAILED, "the code is no UTF-8 text");
        }
    }
    buffer_free(&code);
    control_client_close(&client);
    return status;
}

const Command command_eval = {
    .name = "eval",
    .arguments = "APP CODE|-",
    .summary = "Run Lua in an app of the running host and print the result",
    .details = "CODE runs between two events of the app, in its state; - reads it from stdin.\n"
               "An expression prints its values. What CODE prints is shown here; what the\n"
               "functions of the app print goes to the log of the host. If it raises, the\n"
               "traceback is shown, and the exit status is 1.\n",
    .shared = &control_options,
    .run = eval_main,
};
