/* events.h - builds realistic agent event frames of a wanted size.
 * kind "agent": streaming assistant text (a long string with \n and \" escapes).
 * kind "tool" : tool result (many small nested objects, integers and floats).
 * Sequence numbers are fixed-width (7 digits), so a sender can patch them in place. */
#ifndef EVENTS_H
#define EVENTS_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EV_SEQ0 1000000
typedef struct {
    char *p;
    size_t n, seq_a, seq_b;
    unsigned text_len, run0;
} event;

static inline void ev_seq(char *at, unsigned v)
{
    for (int i = 6; i >= 0; i--) {
        at[i] = (char)('0' + v % 10);
        v /= 10;
    }
}

static inline event ev_build(size_t size, const char *kind, const char *key, unsigned i)
{
    static const char *words =
        "the gateway keeps each session stream in order so a handler can rely on it and then move along to next ";
    static const char *runs[4] = {"3f1c9a52-7d1e-4d0a-9a55-2f6f0c1b7e10", "a90b1c44-11f2-4f3b-8c5d-6e7f80910a2b",
                                  "c0ffee00-1234-4abc-8def-0123456789ab", "7e57ab1e-9f8e-4d7c-b6a5-94837261504f"};
    event v = {0};
    char *b = malloc(size + 1024), *o = b;
    const char *run = runs[i & 3];
    v.run0 = (unsigned char)run[0];
    o += sprintf(o, "{\"type\":\"event\",\"event\":\"agent\",\"%s\":{\"runId\":\"%s\",\"seq\":", key, run);
    v.seq_a = (size_t)(o - b);
    o += sprintf(o, "%07u,\"stream\":\"%s\",\"ts\":1737264000%03u,", EV_SEQ0 + i, kind[0] == 't' ? "tool" : "assistant",
                 i % 1000);
    if (size > 300) o += sprintf(o, "\"sessionKey\":\"agent:main:main\",");
    o += sprintf(o, "\"data\":{\"text\":\"");
    size_t tail = 2 + 8 + 7 + 1;
    if (kind[0] == 't') {
        o += sprintf(o, "ok");
        v.text_len = 2;
        o += sprintf(o, "\",\"phase\":\"result\",\"name\":\"exec\",\"isError\":false,\"result\":{\"items\":[");
        for (unsigned j = 0; (size_t)(o - b) + 110 + tail < size; j++)
            o += sprintf(o,
                         "%s{\"id\":%u,\"path\":\"src/mod%u/"
                         "file.c\",\"size\":%u,\"mtime\":1737264%06u,\"score\":0.%u,\"ok\":%s,\"tag\":null}",
                         j ? "," : "", j, j % 7, 1234 + j * 37, j, 1 + j % 97, j & 1 ? "true" : "false");
        o += sprintf(o, "]}}");
    } else {
        size_t w = 0, col = 0;
        while ((size_t)(o - b) + 2 + tail < size) {
            if (col == 79) {
                *o++ = '\\';
                *o++ = 'n';
                col = 0;
            } else if (col == 40) {
                *o++ = '\\';
                *o++ = '"';
                col++;
            } else {
                *o++ = words[w];
                w = words[w + 1] ? w + 1 : 0;
                col++;
            }
            v.text_len++;
        }
        o += sprintf(o, "\"}");
    }
    o += sprintf(o, "},\"seq\":");
    v.seq_b = (size_t)(o - b);
    o += sprintf(o, "%07u}", EV_SEQ0 + i);
    v.p = b;
    v.n = (size_t)(o - b);
    return v;
}
#endif
