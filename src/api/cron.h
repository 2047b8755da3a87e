/* cron.h - the five fields of a cron expression, and when they come true next. Knows the local time zone, but no
 * clock.
 *
 *     minute 0-59   hour 0-23   day of the month 1-31   month 1-12 or jan-dec   weekday 0-7 or sun-sat (0 and 7: Sunday)
 *
 * Each is `*`, a number or name, a range `a-b` or a list `a,b-c`; `*` and ranges may have a step: `9-17/2`. Also
 * @hourly, @daily (@midnight), @weekly, @monthly, @yearly (@annually). When day of the month and weekday are both
 * restricted (do not begin with `*`), either of them is enough, as in every cron.
 *
 * When clocks change: a time that the change skips comes true right after it; a time that occurs twice comes true the
 * first time. With every hour wanted (hour field `*`) it is otherwise, since that means "every so many minutes": what
 * was skipped is left out, and what occurs twice comes true twice. */
#ifndef GATEHOUSE_API_CRON_H
#define GATEHOUSE_API_CRON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t minutes; /* sets: bit n for the value n */
    uint32_t hours, days, months, weekdays;
    bool either_day; /* day of the month or weekday, rather than both */
} Cron;

/* False with a sentence in `problem` for what is no expression, or names a date that does not exist ("0 0 30 2 *"). */
bool cron_parse(const char *text, Cron *out, char *problem, size_t problem_size);

/* The first time after `after_s` that comes true, both in seconds since 1970; it is a whole minute. INT64_MAX if
 * there is none that the system's calendar can tell. */
int64_t cron_next(const Cron *cron, int64_t after_s);

#define CRON_MISSED_S 60      /* a beat whose minute has passed is a missed one */
#define CRON_SET_BACK_S 10800 /* three hours: more than what clocks are moved by twice a year */

/* A look at the clock: moves *due_s, the beat that is waited for, and returns whether a call is to be made now.
 * `busy`: the last call still runs. Missed beats are left out, or, with `once`, made up for by one call as soon as
 * that is possible. */
bool cron_beat(const Cron *cron, bool once, bool busy, int64_t now_s, int64_t *due_s);

#endif
