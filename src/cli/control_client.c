/* control_client.c - see control_client.h. */
#define _GNU_SOURCE /* POLLRDHUP */
#include "cli/control_client.h"

#include "host/state_dir.h"
#include "net/unix_socket.h"
#include "protocol/json.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES (64u << 10)

static void say(ControlClient *client, const char *message)
{
    *client->code = '\0';
    buffer_clear(&client->message);
    buffer_append_text(&client->message, message);
}

static int dial(ControlClient *client)
{
    const Command *command = client->context.command;

    client->fd = unix_socket_connect(client->state_dir, "control.sock");
    if (client->fd < 0 && (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)) {
        return command_fail(command, CLI_FAILED,
                            "no gatehouse is running on the state folder %s (start one with gatehouse run)",
                            client->state_dir);
    }
    if (client->fd < 0) {
        return command_fail(command, CLI_FAILED, "the host's socket %s/control.sock cannot be opened: %s",
                            client->state_dir, strerror(errno));
    }
    if (unix_socket_is_ours(client->fd, &client->pid)) return CLI_OK;
    return command_fail(command, CLI_FAILED, "the gatehouse on the state folder %s belongs to another user",
                        client->state_dir);
}

int control_client_open(ControlClient *client, const Command *command, const Parsed *parsed)
{
    char problem[1024];

    *client = (ControlClient){.fd = -1, .signal_fd = -1, .input_fd = -1, .output_fd = -1};
    int status = context_open(&client->context, command, parsed, LOG_WARN);
    if (status != CLI_OK) return status;
    if (!state_dir_find(config_text(client->context.config, SETTING_STATE_DIR), client->state_dir,
                        sizeof client->state_dir, problem, sizeof problem)) {
        return command_fail(command, CLI_FAILED, "%s", problem);
    }
    return dial(client);
}

void control_client_close(ControlClient *client)
{
    if (client->fd >= 0) close(client->fd);
    buffer_free(&client->incoming);
    buffer_free(&client->message);
    context_close(&client->context);
}

/* --- asking -------------------------------------------------------------------------------------------------------------------- */

Buffer control_client_request(ControlClient *client, const char *command)
{
    Buffer request = {0};

    buffer_append_text(&request, "{\"v\":1");
    json_write_member_int(&request, "id", ++client->last_id);
    json_write_member_string(&request, "command", command);
    return request;
}

bool control_client_send(ControlClient *client, Buffer *request)
{
    buffer_append_text(request, "}\n");
    Slice rest = buffer_slice(request);
    bool sent = !request->failed;

    if (!sent) say(client, "there is not enough memory");
    while (sent && rest.size > 0) {
        ssize_t put = send(client->fd, rest.data, rest.size, MSG_NOSIGNAL);
        if (put >= 0) {
            rest = slice_make(rest.data + put, rest.size - (size_t)put);
        } else if (errno != EINTR) {
            /* What it said before it closed is more to the point. */
            if (errno == EPIPE || errno == ECONNRESET) break;
            say(client, "the host cannot be asked");
            sent = false;
        }
    }
    buffer_free(request);
    return sent;
}

/* --- hearing ------------------------------------------------------------------------------------------------------------------- */

static bool next_line(ControlClient *client, Slice *line)
{
    Slice all = buffer_slice(&client->incoming);
    const char *newline = memchr(all.data, '\n', all.size);

    if (!newline) return false;
    *line = slice_make(all.data, (size_t)(newline - all.data));
    client->used = line->size + 1;
    return true;
}

/* Forgets the line that was handed out. */
static void drop_line(ControlClient *client)
{
    client->incoming.start += client->used;
    client->used = 0;
    size_t size = buffer_size(&client->incoming);
    if (size > 0 && client->incoming.start < READ_BYTES) return;
    if (size > 0) memmove(client->incoming.base, client->incoming.base + client->incoming.start, size);
    client->incoming.start = 0;
    client->incoming.end = size;
}

static ControlWait gone(ControlClient *client, const char *message)
{
    say(client, message);
    return CONTROL_GONE;
}

/* Waits for the socket. CONTROL_LINE: there is something to read. */
static ControlWait wait_for(const ControlClient *client, int timeout_ms)
{
    struct pollfd ready[] = {{.fd = client->fd, .events = POLLIN},
                             {.fd = client->signal_fd, .events = POLLIN},
                             {.fd = client->input_fd, .events = POLLIN},
                             {.fd = client->output_fd}};
    int count;

    do {
        count = poll(ready, sizeof ready / sizeof *ready, timeout_ms);
    } while (count < 0 && errno == EINTR);
    if (ready[1].revents) return CONTROL_INTERRUPTED;
    if (ready[2].revents) return CONTROL_INPUT;
    if (ready[3].revents) return CONTROL_DEAF;
    return ready[0].revents ? CONTROL_LINE : CONTROL_SILENT;
}

ControlWait control_client_read(ControlClient *client, int timeout_ms, Slice *line)
{
    drop_line(client);
    while (!next_line(client, line)) {
        ControlWait wait = wait_for(client, timeout_ms);
        if (wait != CONTROL_LINE) return wait;
        char *room = buffer_reserve(&client->incoming, READ_BYTES);
        if (!room) return gone(client, "there is not enough memory");
        ssize_t got = recv(client->fd, room, READ_BYTES, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return gone(client, "the host ended before it answered");
        buffer_commit(&client->incoming, (size_t)got);
    }
    return json_validate(*line, NULL) ? CONTROL_LINE : gone(client, "the host said something that is no JSON");
}

bool control_client_take(ControlClient *client, Slice line, Slice *result)
{
    if (json_is_true(json_find(line, "ok"))) {
        *result = json_find(line, "result");
        return true;
    }
    Slice error = json_find(line, "error");
    say(client, "");
    (void)json_copy_string(json_find(error, "code"), client->code, sizeof client->code);
    if (!json_get_string(json_find(error, "message"), &client->message))
        buffer_append_text(&client->message, "the host refused, and did not say why");
    return false;
}

bool control_client_ask(ControlClient *client, Buffer *request, Slice *result)
{
    Slice line;
    int64_t id = 0;
    const int input_fd = client->input_fd, output_fd = client->output_fd;

    if (!control_client_send(client, request)) return false;
    for (;;) {
        client->input_fd = client->output_fd = -1; /* they have time */
        ControlWait wait = control_client_read(client, -1, &line);
        client->input_fd = input_fd;
        client->output_fd = output_fd;
        if (wait == CONTROL_INTERRUPTED) say(client, "interrupted");
        if (wait == CONTROL_INTERRUPTED || wait == CONTROL_GONE) return false;
        if (wait != CONTROL_LINE) continue;
        Slice given = json_find(line, "id");
        bool ours = json_get_int(given, &id) && id == client->last_id;
        if (ours || json_type(given) == JSON_NULL) return control_client_take(client, line, result);
    }
}

int control_client_fail(const ControlClient *client)
{
    Slice message = buffer_slice(&client->message);
    return command_fail(client->context.command, CLI_FAILED, "%.*s", SLICE_ARGS(message));
}

/* --- printing ------------------------------------------------------------------------------------------------------------------ */

static bool put(FILE *out, Slice text)
{
    return fwrite(text.data, 1, text.size, out) == text.size &&
           ((text.size > 0 && text.data[text.size - 1] == '\n') || putc('\n', out) != EOF) && fflush(out) == 0;
}

static bool print(const Command *command, Slice text)
{
    if (put(stdout, text)) return true;
    (void)command_fail(command, CLI_FAILED, "stdout cannot be written: %s", strerror(errno));
    return false;
}

static void append_plain_lines(Buffer *out, Slice text)
{
    for (size_t begin = 0, at = 0; at <= text.size; at++) {
        if (at < text.size && text.data[at] != '\n' && text.data[at] != '\t') continue;
        log_append_plain(out, slice_make(text.data + begin, at - begin));
        if (at < text.size) buffer_append_char(out, text.data[at]);
        begin = at + 1;
    }
}

bool control_print(const Command *command, Slice text)
{
    Buffer plain = {0};

    if (!isatty(STDOUT_FILENO)) return print(command, text);
    append_plain_lines(&plain, text);
    bool printed = print(command, buffer_slice(&plain));
    buffer_free(&plain);
    return printed;
}

void control_print_error(Slice text)
{
    Buffer plain = {0};

    append_plain_lines(&plain, text);
    (void)put(stderr, buffer_slice(&plain));
    buffer_free(&plain);
}

bool control_print_json(const Command *command, Slice json)
{
    Buffer plain = {0};

    if (!isatty(STDOUT_FILENO)) return print(command, json);
    log_append_plain_json(&plain, json);
    bool printed = print(command, buffer_slice(&plain));
    buffer_free(&plain);
    return printed;
}
