/* host_dead.c - events whose handler raised, of all apps: to be looked at, and to be put back. */
#include "host/host_asked.h"
#include "protocol/json.h"

#define LIST_BYTES (8u << 20) /* of a list for a peer of the control socket; what is beyond is left out */

static bool is_meant(const HostApp *app, const char *name)
{
    return app->app && !app->removing && (!name || strcmp(app_name(app->app), name) == 0);
}

/* Behind the messages that wait. Returns how many that are. */
static size_t put_back(Host *host, const char *name)
{
    size_t count = 0;

    for (int i = 0; i < host->app_count; i++) {
        const HostApp *app = host->apps[i];
        if (!is_meant(app, name) || !app->started || app->has_ended) continue;
        count += app_dead_retry(app->app, 0);
    }
    if (count > 0) host_arm_watch(host);
    return count;
}

typedef struct {
    const char *app;
    Buffer *out;
} Listing;

static void write_letter(void *context, const DeadLetter *letter)
{
    const Listing *listing = context;
    Buffer *out = listing->out;

    if (buffer_size(out) > LIST_BYTES) return;
    if (buffer_size(out) > 1) buffer_append_char(out, ',');
    buffer_append_char(out, '{');
    json_write_member_string(out, "app", listing->app);
    json_write_member_int(out, "letter", (int64_t)letter->id);
    json_write_key(out, "event");
    (void)json_write_string(out, letter->message->name);
    json_write_member_string(out, "handler", letter->handler);
    json_write_member_string(out, "error", letter->traceback);
    json_write_member_int(out, "at_ms", letter->failed_ms);
    json_write_member_int(out, "attempts", letter->attempts);
    buffer_append_char(out, '}');
}

/* Oldest first within an app. */
static void write_letters(Host *host, const char *name, Buffer *out)
{
    buffer_append_char(out, '[');
    for (int i = 0; i < host->app_count; i++) {
        const HostApp *app = host->apps[i];
        if (!is_meant(app, name)) continue;
        Listing listing = {app_name(app->app), out};
        app_dead_each(app->app, write_letter, &listing);
    }
    buffer_append_char(out, ']');
}

bool host_dead(Host *host, const char *name, bool retry, HostDone *done, void *context)
{
    HostAsked *asked = host_asked_new(host, done, context);
    Buffer text = {0};

    if (!asked) return false;
    host_asked_expect(asked);
    if (retry)
        buffer_append_format(&text, "{\"retried\":%zu}", put_back(host, name));
    else
        write_letters(host, name, &text);
    host_asked_part(asked, !text.failed, text.failed ? slice_of("there is not enough memory") : buffer_slice(&text));
    host_asked_ready(asked);
    buffer_free(&text);
    return true;
}
