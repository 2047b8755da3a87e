/* stop.c - `gatehouse stop`: asks the host to end, and waits until its process has. */
#define _GNU_SOURCE
#include "cli/control_client.h"

#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A process is told by a descriptor, which cannot come to mean another one. -1: the system has none, or it is gone already. */
static int open_process(pid_t pid)
{
#ifdef SYS_pidfd_open
    return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
#else
    (void)pid;
    return -1;
#endif
}

static int stop(ControlClient *client)
{
    Buffer request = control_client_request(client, "stop");
    Slice line;
    int process = open_process(client->pid); /* before it can end */
    char text[64];

    if (!control_client_ask(client, &request, &line)) {
        if (process >= 0) close(process);
        return control_client_fail(client);
    }
    /* It closes the socket when its apps have ended, and its lock with the process. */
    while (control_client_read(client, -1, &line) == CONTROL_LINE) {
    }
    if (process >= 0) {
        struct pollfd ended = {.fd = process, .events = POLLIN};
        (void)poll(&ended, 1, -1);
        close(process);
    }
    (void)snprintf(text, sizeof text, client->pid > 0 ? "stopped (process %ld)" : "stopped", (long)client->pid);
    return control_print(client->context.command, slice_of(text)) ? CLI_OK : CLI_FAILED;
}

static int stop_main(const Command *command, const Parsed *parsed)
{
    ControlClient client;

    if (parsed->count > 0)
        return command_misused(command, "it takes no argument, and there is \"%s\"", parsed->arguments[0]);
    int status = control_client_open(&client, command, parsed);
    if (status == CLI_OK) status = stop(&client);
    control_client_close(&client);
    return status;
}

const Command command_stop = {
    .name = "stop",
    .arguments = "",
    .summary = "Stop the running host and wait until it has ended",
    .details = "As SIGTERM does: @stop handlers run, requests in flight end, the connection is\n"
               "closed.\n",
    .shared = &control_options,
    .run = stop_main,
};
