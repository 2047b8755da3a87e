/* tail_app.c - see tail_app.h. The host does not wait for a reader: what it could not send is missing here, and said. */
#include "cli/tail_app.h"

#include "cli/control_client.h"
#include "cli/terminal.h"
#include "protocol/json.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void add_patterns(Buffer *request, const Parsed *parsed)
{
    json_write_key(request, "events");
    buffer_append_char(request, '[');
    for (int i = 0; i < parsed->count; i++) {
        if (i > 0) buffer_append_char(request, ',');
        (void)json_write_string(request, slice_of(parsed->arguments[i]));
    }
    buffer_append_char(request, ']');
}

/* False when nobody reads any more, or having said what failed. */
static bool print_event(const Command *command, Slice event, bool terminal, int *status)
{
    Buffer plain = {0};
    Slice text = event;

    if (terminal) {
        log_append_plain_json(&plain, event);
        text = buffer_slice(&plain);
    }
    bool written = fwrite(text.data, 1, text.size, stdout) == text.size && putchar('\n') != EOF && fflush(stdout) == 0;
    if (!written && errno != EPIPE)
        *status = command_fail(command, CLI_FAILED, "stdout cannot be written: %s", strerror(errno));
    buffer_free(&plain);
    return written;
}

static int follow(ControlClient *client, int64_t left)
{
    const Command *command = client->context.command;
    const bool terminal = isatty(STDOUT_FILENO);
    int status = CLI_OK;
    Slice line;

    client->output_fd = STDOUT_FILENO;
    while (left != 0) {
        ControlWait wait = control_client_read(client, -1, &line);
        if (wait == CONTROL_GONE) return control_client_fail(client);
        if (wait != CONTROL_LINE) return CLI_OK; /* a signal, or the reader has seen enough */
        int64_t missed = 0;
        if (json_get_int(json_find(line, "missed"), &missed)) {
            (void)command_fail(command, 0, "%" PRId64 " events are missing here: the reader was too slow", missed);
            continue;
        }
        if (json_find(line, "ended").size > 0) return command_fail(command, CLI_FAILED, "the app is gone");
        Slice event = json_find(line, "event");
        if (event.size == 0) continue;
        if (!print_event(command, event, terminal, &status)) return status;
        if (left > 0) left--;
    }
    return CLI_OK;
}

int tail_app(const Command *command, const Parsed *parsed, int64_t left)
{
    static const int signals[] = {SIGINT, SIGTERM};
    ControlClient client;
    Slice result;
    int status = control_client_open(&client, command, parsed);

    if (status == CLI_OK) {
        client.signal_fd = terminal_watch_signals(signals, 2);
        Buffer request = control_client_request(&client, "tail");
        json_write_member_string(&request, "app", parsed->values[OPTION_APP]);
        add_patterns(&request, parsed);
        status = control_client_ask(&client, &request, &result) ? follow(&client, left) : control_client_fail(&client);
        if (client.signal_fd >= 0) close(client.signal_fd);
    }
    control_client_close(&client);
    return status;
}
