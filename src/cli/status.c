/* status.c - `gatehouse status`: how the running host is. */
#include "cli/control_client.h"
#include "cli/status_view.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static int status(ControlClient *client, bool json)
{
    const Command *command = client->context.command;
    Buffer request = control_client_request(client, "status"), out = {0};
    const bool colour = log_wants_colour(STDOUT_FILENO);
    Slice result;

    if (!control_client_ask(client, &request, &result)) return control_client_fail(client);
    if (json) return control_print_json(command, result) ? CLI_OK : CLI_FAILED;
    view_host(&out, result, colour);
    view_connection(&out, result, colour);
    view_apps(&out, result, colour);
    Slice text = buffer_slice(&out); /* what came from elsewhere was escaped as it was put in */
    bool written = !out.failed && fwrite(text.data, 1, text.size, stdout) == text.size && fflush(stdout) == 0;
    buffer_free(&out);
    return written ? CLI_OK : command_fail(command, CLI_FAILED, "stdout cannot be written: %s", strerror(errno));
}

static int status_main(const Command *command, const Parsed *parsed)
{
    ControlClient client;

    if (parsed->count > 0)
        return command_misused(command, "it takes no argument, and there is \"%s\"", parsed->arguments[0]);
    int result = control_client_open(&client, command, parsed);
    if (result == CLI_OK) result = status(&client, parsed->values[OPTION_JSON] != NULL);
    control_client_close(&client);
    return result;
}

static const OptionId own_options[] = {OPTION_JSON};

const Command command_status = {
    .name = "status",
    .arguments = "",
    .summary = "Show how the running host is: connection, apps, handlers",
    .details = "With --json the object that docs/control.md documents.\n",
    .options = {own_options, sizeof own_options / sizeof *own_options},
    .shared = &control_options,
    .run = status_main,
};
