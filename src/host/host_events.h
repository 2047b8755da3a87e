/* host_events.h - what apps learn about the connection, as JSON: the payloads of @ready, @closed, @paused and @gap, and gw.info(). */
#ifndef GATEHOUSE_HOST_HOST_EVENTS_H
#define GATEHOUSE_HOST_HOST_EVENTS_H

#include "protocol/session.h"

/* What gw.info() tells: {"state","connection"} and, while it is ready, {"protocol","server_version","conn_id","scopes","methods","events","policy"}.
 * `hello` is the payload of the last hello-ok, empty unless ready. */
void host_write_info(Buffer *out, const SessionStatus *status, Slice hello);

/* @ready: {"protocol","server","conn_id","connection","scopes","methods","events","policy","snapshot"} */
void host_write_ready(Buffer *out, const SessionStatus *status, Slice hello);

/* @closed: {"code","reason","retry_ms"?,"error"?}; @paused: {"code","message","hint"?,"retry_ms"?}; @gap: {"expected","received"} */
void host_write_closed(Buffer *out, const SessionNotice *notice);
void host_write_paused(Buffer *out, const SessionNotice *notice);
void host_write_gap(Buffer *out, const SessionNotice *notice);

/* How many agents the gateway has, as its hello tells; -1 if it does not. */
int host_count_agents(Slice hello);

#endif
