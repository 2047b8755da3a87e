/* session_notice.c - texts for people. What the peer wrote may hold terminal escapes or echo a secret; neither reaches
 * a notice. */
#include "protocol/session_private.h"
#include "protocol/utf8.h"

#include <stdarg.h>
#include <stdio.h>

#define SHORTEST_SECRET 4 /* bytes; blanking out shorter ones would make every text unreadable and protect nothing */

void session_notify(Session *session, SessionNotice notice)
{
    if (!notice.reason) notice.reason = "";
    session->sink.notice(session->sink.context, &notice);
}

static void blank_out(char *text, const char *secret)
{
    size_t length = secret ? strlen(secret) : 0;
    if (length < SHORTEST_SECRET) return;
    for (char *at = text; *at; at++) {
        size_t left = strnlen(at, length); /* shorter at the text's end, where the secret may have been cut */
        if (left >= SHORTEST_SECRET && memcmp(at, secret, left) == 0) memset(at, '*', left);
    }
}

void session_clean(const Session *session, char *text)
{
    blank_out(text, session->secrets.token);
    blank_out(text, session->secrets.password);
    blank_out(text, session->secrets.device_token);
    bool valid = utf8_valid(slice_of(text));
    for (unsigned char *at = (unsigned char *)text; *at; at++) {
        bool c1_control = at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0; /* U+0080 to U+009F */
        if (c1_control) at[1] = ' ';
        if (c1_control || *at < 0x20 || *at == 0x7f) *at = ' ';
        if (!valid && *at >= 0x80) *at = '?';
    }
}

void session_clean_error(const Session *session, FrameError *error)
{
    session_clean(session, error->code);
    session_clean(session, error->message);
    session_clean(session, error->detail_code);
    session_clean(session, error->detail_reason);
    session_clean(session, error->request_id);
}

__attribute__((format(printf, 4, 0))) static void format_and_clean(const Session *session, char *out, size_t size_bytes,
                                                                   const char *format, va_list arguments)
{
    int length = vsnprintf(out, size_bytes, format, arguments);
    if (length < 0) out[0] = '\0';
    /* Cut: the last character may be half of one. */
    if (length >= (int)size_bytes) out[utf8_prefix(slice_of(out), size_bytes - 2)] = '\0';
    session_clean(session, out);
}

void session_format(const Session *session, char *out, size_t size_bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    format_and_clean(session, out, size_bytes, format, arguments);
    va_end(arguments);
}

void session_odd(Session *session, const char *format, ...)
{
    char reason[SESSION_REASON_SIZE];
    va_list arguments;
    session->status.odd_frames++;
    va_start(arguments, format);
    format_and_clean(session, reason, sizeof reason, format, arguments);
    va_end(arguments);
    session_notify(session, (SessionNotice){.type = SESSION_NOTICE_ODD, .reason = reason, .retry_ms = -1});
}
