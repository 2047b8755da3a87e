/* status_view.h - what `status` of a host says, in words: for `gatehouse status` and `gatehouse top`. */
#ifndef GATEHOUSE_CLI_STATUS_VIEW_H
#define GATEHOUSE_CLI_STATUS_VIEW_H

#include "protocol/buffer.h"

#define VIEW_TEXT 32 /* bytes for a duration or a size */

/* "250 ms", "12.3 s", "5 min 3 s", "3 h 5 min", "2 d 3 h". Return `text`. */
const char *view_duration(int64_t ms, char text[VIEW_TEXT]);
const char *view_micros(int64_t us, char text[VIEW_TEXT]);  /* "12 us", "1.2 ms", "3.4 s" */
const char *view_size(int64_t bytes, char text[VIEW_TEXT]); /* "512 B", "7.5 MiB" */

/* A number of the object, `otherwise` if it is not there. */
int64_t view_int(Slice object, const char *key, int64_t otherwise);

/* The host and its connection, some lines. `status` is the result of the command. */
void view_host(Buffer *out, Slice status, bool colour);
void view_connection(Buffer *out, Slice status, bool colour);
/* Every app with its handlers. */
void view_apps(Buffer *out, Slice status, bool colour);

#endif
