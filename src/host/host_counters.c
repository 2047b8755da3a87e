/* host_counters.c - what was counted, as one line at debug level when a host ends: it shows that every request ended, and what was lost. */
#include "host/host_private.h"
#include "protocol/json.h"

static void write_connection(Buffer *out, const SessionStatus *status)
{
    uint64_t ended = status->ended_ok + status->ended_error + status->ended_timeout + status->ended_disconnected +
                     status->ended_refused + status->ended_cancelled;

    json_write_member_int(out, "attempts", (int64_t)status->attempts);
    json_write_member_int(out, "connections", (int64_t)status->readies);
    json_write_member_int(out, "gaps", (int64_t)status->gaps);
    json_write_member_int(out, "requests", (int64_t)status->requests);
    json_write_member_int(out, "ended", (int64_t)ended);
    json_write_member_int(out, "ended_ok", (int64_t)status->ended_ok);
    json_write_member_int(out, "ended_disconnected", (int64_t)status->ended_disconnected);
    json_write_member_int(out, "ended_timeout", (int64_t)status->ended_timeout);
    json_write_member_int(out, "late_responses", (int64_t)status->late_responses);
    json_write_member_int(out, "unknown_responses", (int64_t)status->unknown_responses);
    json_write_member_int(out, "odd_frames", (int64_t)status->odd_frames);
}

static void write_host(Buffer *out, const HostStats *stats)
{
    json_write_member_int(out, "events", (int64_t)stats->events);
    json_write_member_int(out, "unwanted_events", (int64_t)stats->unwanted);
    json_write_member_int(out, "withheld_events", (int64_t)stats->withheld);
    json_write_member_int(out, "lost_messages", (int64_t)stats->lost);
    json_write_member_int(out, "app_requests", (int64_t)stats->requests);
    json_write_member_int(out, "pauses", (int64_t)stats->pauses);
    json_write_member_int(out, "paused_ms", stats->paused_ms);
}

static void write_log(Buffer *out, const LogStats *stats)
{
    json_write_member_int(out, "log_lines", (int64_t)stats->lines);
    json_write_member_int(out, "dropped_log_lines", (int64_t)stats->dropped);
}

void host_tell_counters(const Host *host)
{
    LogStats log;
    SessionStatus status;
    HostStats stats;
    Buffer fields = {0};

    if (!host->client || !log_writes(host->log, LOG_DEBUG)) return;
    client_status(host->client, &status);
    host_stats(host, &stats);
    log_stats(host->log, &log);
    buffer_append_char(&fields, '{');
    write_connection(&fields, &status);
    write_host(&fields, &stats);
    write_log(&fields, &log);
    buffer_append_char(&fields, '}');
    log_write(host->log, LOG_DEBUG, NULL, slice_of("counters"), buffer_slice(&fields));
    buffer_free(&fields);
}
