/* dead.c - `gatehouse dead`: events whose handler raised, and putting them back. */
#include "cli/control_client.h"
#include "protocol/json.h"

#include <stdio.h>
#include <time.h>

static void append_plain(Buffer *out, Slice value)
{
    Buffer text = {0};

    (void)json_get_string(value, &text);
    log_append_plain(out, buffer_slice(&text));
    buffer_free(&text);
}

static void append_date(Buffer *out, Slice value)
{
    int64_t at_ms = 0;
    struct tm local;
    char text[32];

    (void)json_get_int(value, &at_ms);
    time_t seconds = (time_t)(at_ms / 1000);
    localtime_r(&seconds, &local);
    buffer_append_text(out, strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local) > 0 ? text : "?");
}

/* Its lines, indented. */
static void append_traceback(Buffer *out, Slice value)
{
    Buffer text = {0};
    Slice rest;

    (void)json_get_string(value, &text);
    rest = buffer_slice(&text);
    while (rest.size > 0) {
        const char *newline = memchr(rest.data, '\n', rest.size);
        size_t size = newline ? (size_t)(newline - rest.data) : rest.size;
        buffer_append_text(out, "    ");
        log_append_plain(out, slice_make(rest.data, size));
        buffer_append_char(out, '\n');
        size_t used = newline ? size + 1 : size;
        rest = slice_make(rest.data + used, rest.size - used);
    }
    buffer_free(&text);
}

static void describe(Buffer *out, Slice letters)
{
    JsonCursor cursor = json_cursor(letters);
    Slice letter;

    while (json_next_element(&cursor, &letter)) {
        append_date(out, json_find(letter, "at_ms"));
        buffer_append_text(out, "  ");
        append_plain(out, json_find(letter, "app"));
        buffer_append_text(out, ": ");
        append_plain(out, json_find(letter, "event"));
        buffer_append_text(out, " in ");
        append_plain(out, json_find(letter, "handler"));
        buffer_append_char(out, '\n');
        append_traceback(out, json_find(letter, "error"));
    }
    if (buffer_size(out) == 0) buffer_append_text(out, "no dead letters\n");
}

static int dead(ControlClient *client, const Parsed *parsed)
{
    const Command *command = client->context.command;
    Buffer request = control_client_request(client, "dead");
    Buffer out = {0};
    Slice result;
    int64_t retried = 0;

    if (parsed->count > 0) json_write_member_string(&request, "app", parsed->arguments[0]);
    if (parsed->values[OPTION_RETRY]) json_write_member_bool(&request, "retry", true);
    if (!control_client_ask(client, &request, &result)) return control_client_fail(client);
    if (parsed->values[OPTION_JSON]) return control_print_json(command, result) ? CLI_OK : CLI_FAILED;
    if (parsed->values[OPTION_RETRY]) {
        (void)json_get_int(json_find(result, "retried"), &retried);
        buffer_append_format(&out, "%lld put back into the inbox\n", (long long)retried);
    } else {
        describe(&out, result);
    }
    bool printed = control_print(command, buffer_slice(&out));
    buffer_free(&out);
    return printed ? CLI_OK : CLI_FAILED;
}

static int dead_main(const Command *command, const Parsed *parsed)
{
    ControlClient client;

    if (parsed->count > 1)
        return command_misused(command, "name one app, or none for all of them: \"%s\" is too much",
                               parsed->arguments[1]);
    int status = control_client_open(&client, command, parsed);
    if (status == CLI_OK) status = dead(&client, parsed);
    control_client_close(&client);
    return status;
}

static const OptionId own_options[] = {OPTION_RETRY, OPTION_JSON};

const Command command_dead = {
    .name = "dead",
    .arguments = "[APP]",
    .summary = "List events whose handler raised, or put them back",
    .details = "They are kept with the traceback of the failure, the newest ones of each app.\n",
    .options = {own_options, sizeof own_options / sizeof *own_options},
    .shared = &control_options,
    .run = dead_main,
};
