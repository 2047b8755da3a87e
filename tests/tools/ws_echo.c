/* ws_echo.c - connects with the product's link and codec and echoes every message until the connection ends, so that any WebSocket
 * conformance suite can drive them.
 *
 *     ws_echo [--ca-file FILE] [--times N] URL
 *
 * Exit status 0 when every connection was closed by a close frame, 1 when one was not or never opened, 2 for wrong usage. */
#include "net/link.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_MESSAGE_BYTES ((size_t)64 << 20)

typedef struct {
    Loop *loop;
    Link *link;
    long times_left;
    int status;
} Echo;

static void on_opened(void *context)
{
    (void)context;
}

static void echo(Echo *echo_state, Slice data, bool (*send)(Link *link, Buffer *payload))
{
    Buffer reply = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
    buffer_append_slice(&reply, data);
    if (!send(echo_state->link, &reply))
        link_close(echo_state->link, 1011, "the echo does not fit into the queue");
    else if (link_queued_bytes(echo_state->link) > MAX_MESSAGE_BYTES / 2)
        link_pause(echo_state->link, true);
}

static void on_text(void *context, Slice text)
{
    echo(context, text, link_send);
}

static void on_binary(void *context, Slice data)
{
    echo(context, data, link_send_binary);
}

static void on_alive(void *context)
{
    (void)context;
}

static void on_drained(void *context)
{
    Echo *state = context;
    link_pause(state->link, false);
}

static void on_closed(void *context, const LinkClose *how)
{
    Echo *state = context;
    if (how->code == 0 || how->code == 1006) {
        fprintf(stderr, "ws_echo: %.*s\n", SLICE_ARGS(how->reason));
        state->status = 1;
    }
    if (how->code != 0 && --state->times_left > 0)
        link_dial(state->link);
    else
        loop_stop(state->loop);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"ca-file", required_argument, NULL, 'c'}, {"times", required_argument, NULL, 'n'}, {NULL, 0, NULL, 0}};
    Echo state = {.times_left = 1, .status = 1};
    LinkConfig config = {.max_message_bytes = MAX_MESSAGE_BYTES, .max_queue_bytes = 2 * MAX_MESSAGE_BYTES};
    char problem[256];
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'c')
            config.ca_file = optarg;
        else if (option == 'n')
            state.times_left = strtol(optarg, NULL, 10);
        else
            return 2;
    }
    if (optind != argc - 1 || state.times_left < 1) {
        fprintf(stderr, "usage: ws_echo [--ca-file FILE] [--times N] URL\n");
        return 2;
    }
    if (!link_target_parse(argv[optind], &config.target, problem, sizeof problem)) {
        fprintf(stderr, "ws_echo: %s: %s\n", argv[optind], problem);
        return 2;
    }
    config.proxy = link_proxy_from_environment(&config.target);

    const LinkSink sink = {.context = &state,
                           .opened = on_opened,
                           .text = on_text,
                           .binary = on_binary,
                           .alive = on_alive,
                           .closed = on_closed,
                           .drained = on_drained};
    state.loop = loop_new();
    state.link = state.loop ? link_new(state.loop, &config, &sink, problem, sizeof problem) : NULL;
    if (!state.link) {
        fprintf(stderr, "ws_echo: %s\n", state.loop ? problem : "the event loop cannot be made");
    } else {
        state.status = 0;
        link_dial(state.link);
        loop_run(state.loop);
    }
    link_free(state.link);
    loop_free(state.loop);
    return state.status;
}
