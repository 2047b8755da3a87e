/* loop_watch.c - descriptors of ours that libwebsockets polls.
 *
 * Two properties of libwebsockets 4.1 shape this file:
 * - It closes a descriptor that hung up while reading is off, and clears the wish to write behind a callback that expressed it.
 *   So it watches a duplicate, and wishes are kept here and applied between two turns.
 * - Closing one descriptor moves another one in its table while it walks over that table. So closing waits for the end of the
 *   turn as well.
 */
#include "net/loop_lws.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOP_MAX_WATCHES 1024 /* libwebsockets leaks when its table of LOOP_MAX_DESCRIPTORS is full: never by us */

struct LoopWatch {
    Loop *loop;
    LoopWatches *table;
    struct lws *wsi; /* watches a duplicate of `fd`; NULL once libwebsockets let go of it */
    int fd;
    void (*readable)(void *context);
    void (*writable)(void *context);
    void *context;
    LoopWatch *next_changed;
    LoopSoon hangup;
    bool changed; /* on the loop's list of changes */
    bool want_write;
    bool want_read;
    bool reads; /* what libwebsockets knows of want_read */
    bool hung_up;
    bool gone; /* loop_unwatch was called; the rest waits for the end of the turn */
};

static void mark_changed(LoopWatch *watch)
{
    if (watch->changed) return;
    watch->changed = true;
    watch->next_changed = watch->table->changes;
    watch->table->changes = watch;
}

static void deliver_hangup(void *context)
{
    LoopWatch *watch = context;
    watch->readable(watch->context);
}

static int on_descriptor(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size)
{
    (void)user;
    (void)in;
    (void)size;
    LoopWatch *watch = lws_get_opaque_user_data(wsi);
    switch (reason) {
    case LWS_CALLBACK_RAW_RX_FILE:
        loop_enter(watch->loop);
        if (!watch->gone) watch->readable(watch->context);
        return 0;
    case LWS_CALLBACK_RAW_WRITEABLE_FILE:
        loop_enter(watch->loop);
        if (!watch->gone && watch->want_write) {
            watch->want_write = false;
            watch->writable(watch->context);
        }
        return 0;
    case LWS_CALLBACK_RAW_CLOSE_FILE: /* by loop_unwatch, or the peer hung up */
        watch->wsi = NULL;
        if (!watch->gone) {
            watch->hung_up = true;
            watch->hangup = (LoopSoon){.run = deliver_hangup, .context = watch};
            loop_soon(watch->loop, &watch->hangup);
        }
        return 0;
    default: return 0;
    }
}

const struct lws_protocols loop_watch_protocols[] = {
    {.name = "descriptor", .callback = on_descriptor},
    {.name = NULL},
};

LoopWatch *loop_watch(Loop *loop, int fd, void (*readable)(void *context), void (*writable)(void *context),
                      void *context)
{
    LoopWatches *table = loop_watches(loop);
    if (table->count >= LOOP_MAX_WATCHES) return NULL;
    LoopWatch *watch = calloc(1, sizeof *watch);
    if (!watch) return NULL;
    *watch = (LoopWatch){.loop = loop, .table = table, .fd = fd};
    loop_hand_over(watch, readable, writable, context);
    watch->want_read = watch->reads = true;

    int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0) goto failed;
    lws_adopt_desc_t info = {
        .vh = table->vhost,
        .type = LWS_ADOPT_RAW_FILE_DESC,
        .fd = {.filefd = duplicate},
        .vh_prot_name = loop_watch_protocols[0].name,
        .opaque = watch,
    };
    watch->wsi = lws_adopt_descriptor_vhost_via_info(&info);
    if (!watch->wsi) {
        close(duplicate);
        goto failed;
    }
    table->count++;
    return watch;

failed:
    free(watch);
    return NULL;
}

void loop_hand_over(LoopWatch *watch, void (*readable)(void *context), void (*writable)(void *context), void *context)
{
    watch->readable = readable;
    watch->writable = writable;
    watch->context = context;
}

void loop_want_write(LoopWatch *watch)
{
    watch->want_write = true;
    mark_changed(watch);
}

void loop_want_read(LoopWatch *watch, bool wanted)
{
    watch->want_read = wanted;
    if (watch->reads != wanted) mark_changed(watch);
}

bool loop_hung_up(const LoopWatch *watch)
{
    return watch->hung_up;
}

void loop_unwatch(LoopWatch *watch)
{
    if (!watch) return;
    close(watch->fd);
    loop_not_soon(watch->loop, &watch->hangup);
    watch->gone = true;
    mark_changed(watch);
}

static void release(LoopWatch *watch)
{
    if (watch->wsi) lws_set_timeout(watch->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
    watch->table->count--;
    free(watch);
}

void loop_watches_apply(LoopWatches *table)
{
    while (table->changes) {
        LoopWatch *watch = table->changes;
        table->changes = watch->next_changed;
        watch->changed = false;
        if (watch->gone) {
            release(watch);
            continue;
        }
        if (!watch->wsi) continue;
        if (watch->reads != watch->want_read) {
            watch->reads = watch->want_read;
            lws_rx_flow_control(watch->wsi, watch->reads);
        }
        if (watch->want_write) lws_callback_on_writable(watch->wsi);
    }
}
