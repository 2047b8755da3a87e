/* control_client.h - the other end of a running host's control socket (docs/control.md), for the subcommands that talk to one.
 * Blocking: one request, one answer. */
#ifndef GATEHOUSE_CLI_CONTROL_CLIENT_H
#define GATEHOUSE_CLI_CONTROL_CLIENT_H

#include "cli/context.h"

#include <limits.h>
#include <sys/types.h>

typedef struct {
    Context context;
    char state_dir[PATH_MAX];
    int fd;
    pid_t pid;                          /* of the host; 0: unknown */
    int signal_fd, input_fd, output_fd; /* end a wait, if they are not -1: see ControlWait. The caller's */
    Buffer incoming;                    /* from the line that was handed out last on */
    size_t used;                        /* bytes of that line */
    int64_t last_id;
    char code[48];  /* of the last error, "" if it was not the host's */
    Buffer message; /* of the last error: text for people, several lines for a traceback; hostile */
} ControlClient;

/* Finds the host of the state folder. Returns CLI_OK, or a status after having said that there is none. control_client_close in
 * both cases. */
int control_client_open(ControlClient *client, const Command *command, const Parsed *parsed);
void control_client_close(ControlClient *client);

/* The begin of a request, to which members may be added (json_write_member_…). control_client_ask takes it. */
Buffer control_client_request(ControlClient *client, const char *command);

/* Sends it. False, with `message`, if the host is gone. */
bool control_client_send(ControlClient *client, Buffer *request);

typedef enum {
    CONTROL_LINE,
    CONTROL_SILENT,      /* the time is over */
    CONTROL_INTERRUPTED, /* signal_fd is readable */
    CONTROL_INPUT,       /* input_fd is */
    CONTROL_DEAF,        /* nobody reads output_fd any more */
    CONTROL_GONE         /* the host is gone, and `message` says so */
} ControlWait;

/* The next line, valid JSON, borrowed until the next call. `timeout_ms` -1: waits for ever. */
ControlWait control_client_read(ControlClient *client, int timeout_ms, Slice *line);

/* Takes the request, waits for its answer. False: `code` and `message` tell why not. `result` is raw JSON, borrowed until the next
 * call. */
bool control_client_ask(ControlClient *client, Buffer *request, Slice *result);

/* Splits an answer: its result, or code and message in the client and false. */
bool control_client_take(ControlClient *client, Slice line, Slice *result);

/* Says why the last one failed. Returns CLI_FAILED. */
int control_client_fail(const ControlClient *client);

/* Writes text to stdout, with a newline at its end; for a terminal with everything escaped but line breaks and tabs. False, having
 * said so, if it cannot be written. */
bool control_print(const Command *command, Slice text);
/* The same to stderr, without a word about what fails. */
void control_print_error(Slice text);
/* The same for JSON, to stdout. */
bool control_print_json(const Command *command, Slice json);

#endif
