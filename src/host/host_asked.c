/* host_asked.c - see host_asked.h. */
#include "host/host_asked.h"

#include <stdlib.h>

struct HostAsked {
    HostAsked *next;
    Host *host;
    HostDone *done; /* may be NULL */
    void *context;
    size_t parts; /* that are still expected; one more until host_asked_ready */
    bool ok;
    Buffer text, failures;
};

HostAsked *host_asked_new(Host *host, HostDone *done, void *context)
{
    HostAsked *asked = calloc(1, sizeof *asked);
    if (!asked) return NULL;
    *asked = (HostAsked){.next = host->asked, .host = host, .done = done, .context = context, .parts = 1, .ok = true};
    host->asked = asked;
    return asked;
}

void host_asked_expect(HostAsked *asked)
{
    asked->parts++;
}

static void take_part(HostAsked *asked)
{
    if (--asked->parts == 0) loop_soon(asked->host->loop, &asked->host->answer);
}

static void append_lines(Buffer *out, Slice text)
{
    if (buffer_size(out) > 0 && text.size > 0) buffer_append_char(out, '\n');
    buffer_append_slice(out, text);
}

void host_asked_part(HostAsked *asked, bool ok, Slice text)
{
    asked->ok = asked->ok && ok;
    append_lines(ok ? &asked->text : &asked->failures, text);
    take_part(asked);
}

void host_tell_asked(HostAsked *asked, bool ok, Slice text)
{
    host_asked_expect(asked);
    host_asked_part(asked, ok, text);
}

void host_asked_ready(HostAsked *asked)
{
    take_part(asked);
}

static void asked_free(HostAsked *asked)
{
    buffer_free(&asked->text);
    buffer_free(&asked->failures);
    free(asked);
}

/* Those that are due leave the list first: an answer may ask again. */
void host_answer_asked(void *context)
{
    Host *host = context;
    HostAsked *due = NULL;

    for (HostAsked **link = &host->asked; *link;) {
        HostAsked *asked = *link;
        if (asked->parts > 0) {
            link = &asked->next;
            continue;
        }
        *link = asked->next;
        asked->next = due;
        due = asked;
    }
    for (HostAsked *next; due; due = next) {
        next = due->next;
        /* What failed comes first: it is what one reads. */
        append_lines(&due->failures, buffer_slice(&due->text));
        if (due->done) due->done(due->context, due->ok, buffer_slice(&due->failures));
        asked_free(due);
    }
}

/* The host ends. */
void host_asked_free(HostAsked *asked)
{
    for (HostAsked *next; asked; asked = next) {
        next = asked->next;
        if (asked->done) asked->done(asked->context, false, slice_of("the host has ended"));
        asked_free(asked);
    }
}
