/* test_cron.c - when cron expressions come true, over leap years and changes of clocks; and what is refused. */
#define _GNU_SOURCE /* strptime, timegm */
#include "api/cron.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Zones as rules, so that no time zone database is needed. */
#define UTC "UTC0"
#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"              /* 2026: 29 March 01:00 UTC and 25 October 01:00 UTC */
#define NEW_YORK "EST5EDT,M3.2.0,M11.1.0"                /* 2026: 8 March 07:00 UTC and 1 November 06:00 UTC */
#define LORD_HOWE "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0" /* half an hour */
#define HAVANA "CST5CDT,M3.2.0/0,M11.1.0/1"              /* midnight itself is skipped */

static void use_zone(const char *zone)
{
    assert_int_equal(setenv("TZ", zone, 1), 0);
    tzset();
}

static int64_t utc(const char *text)
{
    struct tm tm = {0};
    assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
    return (int64_t)timegm(&tm);
}

static Cron parsed(const char *text)
{
    char problem[200] = "";
    Cron cron;
    if (!cron_parse(text, &cron, problem, sizeof problem)) fail_msg("%s: %s", text, problem);
    return cron;
}

/* `expected` holds the next times, separated by ", "; all in UTC. */
static void check(const char *zone, const char *text, const char *after, const char *expected)
{
    use_zone(zone);
    Cron cron = parsed(text);
    int64_t second = utc(after);
    char came[400] = "";
    for (const char *comma = expected; comma; comma = strchr(comma + 1, ',')) {
        char stamp[32];
        struct tm tm;
        second = cron_next(&cron, second);
        time_t time = (time_t)second;
        assert_true(strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", gmtime_r(&time, &tm)) > 0);
        snprintf(came + strlen(came), sizeof came - strlen(came), "%s%s", *came ? ", " : "", stamp);
    }
    if (strcmp(came, expected) != 0)
        fail_msg("%s in %s after %s:\n    expected %s\n    came     %s", text, zone, after, expected, came);
}

static void fields_and_names(void **state)
{
    (void)state;
    check(UTC, "* * * * *", "2026-01-01 00:00:00", "2026-01-01 00:01:00, 2026-01-01 00:02:00");
    check(UTC, "* * * * *", "2026-01-01 00:00:59", "2026-01-01 00:01:00");
    check(UTC, "*/20 * * * *", "2026-01-01 00:41:00", "2026-01-01 01:00:00, 2026-01-01 01:20:00");
    check(UTC, "5-59/25 9 * * *", "2026-01-01 09:05:00",
          "2026-01-01 09:30:00, 2026-01-01 09:55:00, 2026-01-02 09:05:00");
    check(UTC, "0 9 * * 1-5", "2026-01-02 08:00:00", "2026-01-02 09:00:00, 2026-01-05 09:00:00");
    check(UTC, "0 9 * * mon-FRI", "2026-01-02 08:00:00", "2026-01-02 09:00:00, 2026-01-05 09:00:00");
    check(UTC, "0 0 * * 7", "2026-01-01 00:00:00", "2026-01-04 00:00:00, 2026-01-11 00:00:00");
    check(UTC, "0 0 * * 0", "2026-01-01 00:00:00", "2026-01-04 00:00:00");
    check(UTC, "0 0 * * 5-7", "2026-01-01 00:00:00",
          "2026-01-02 00:00:00, 2026-01-03 00:00:00, 2026-01-04 00:00:00, 2026-01-09 00:00:00");
    check(UTC, "30 23 31 dec *", "2026-01-01 00:00:00", "2026-12-31 23:30:00, 2027-12-31 23:30:00");
    check(UTC, "0 22-23,0-1 * * *", "2026-01-01 22:30:00",
          "2026-01-01 23:00:00, 2026-01-02 00:00:00, 2026-01-02 01:00:00, 2026-01-02 22:00:00");
    check(UTC, "  0\t12  1 jan,Jul * ", "2026-01-01 12:00:00", "2026-07-01 12:00:00, 2027-01-01 12:00:00");
}

static void shorthands(void **state)
{
    (void)state;
    check(UTC, "@hourly", "2026-01-01 00:00:00", "2026-01-01 01:00:00");
    check(UTC, "@daily", "2026-01-01 00:00:00", "2026-01-02 00:00:00");
    check(UTC, "@midnight", "2026-12-31 00:00:00", "2027-01-01 00:00:00");
    check(UTC, "@weekly", "2026-01-01 00:00:00", "2026-01-04 00:00:00");
    check(UTC, "@monthly", "2026-01-01 00:00:00", "2026-02-01 00:00:00, 2026-03-01 00:00:00");
    check(UTC, "@yearly", "2026-01-01 00:00:00", "2027-01-01 00:00:00");
    check(UTC, "@Annually", "2026-01-01 00:00:00", "2027-01-01 00:00:00");
}

static void day_and_weekday(void **state)
{
    (void)state;
    /* Both restricted: either. 2026-02-13 is a Friday. */
    check(UTC, "0 0 13 * fri", "2026-02-01 00:00:00",
          "2026-02-06 00:00:00, 2026-02-13 00:00:00, 2026-02-20 00:00:00, 2026-02-27 00:00:00, 2026-03-06 00:00:00, "
          "2026-03-13 00:00:00");
    check(UTC, "0 0 15 * fri", "2026-02-13 00:00:00", "2026-02-15 00:00:00, 2026-02-20 00:00:00");
    /* One of them begins with `*`: both must hold. Odd days that are Mondays. */
    check(UTC, "0 0 */2 * mon", "2026-01-01 00:00:00", "2026-01-05 00:00:00, 2026-01-19 00:00:00, 2026-02-09 00:00:00");
}

static void leap_years(void **state)
{
    (void)state;
    check(UTC, "0 0 29 2 *", "2026-01-01 00:00:00", "2028-02-29 00:00:00, 2032-02-29 00:00:00");
    check(UTC, "0 0 29 2 *", "2096-03-01 00:00:00", "2104-02-29 00:00:00");                        /* 2100 is none */
    check(UTC, "0 0 29 2 */7", "2026-01-01 00:00:00", "2032-02-29 00:00:00, 2060-02-29 00:00:00"); /* and a Sunday */
    check(UTC, "0 0 31 * *", "2026-01-31 00:00:00", "2026-03-31 00:00:00, 2026-05-31 00:00:00");
    check(UTC, "59 23 28 2 *", "2028-02-28 23:59:00", "2029-02-28 23:59:00");
}

static void zones(void **state)
{
    (void)state;
    check(BERLIN, "0 9 * * *", "2026-01-01 00:00:00", "2026-01-01 08:00:00");
    check(BERLIN, "0 9 * * *", "2026-07-01 00:00:00", "2026-07-01 07:00:00");
    check(NEW_YORK, "0 9 * * 1", "2026-01-01 00:00:00", "2026-01-05 14:00:00");
    check(NEW_YORK, "0 23 31 12 *", "2027-01-01 03:59:00", "2027-01-01 04:00:00, 2028-01-01 04:00:00");
}

static void clocks_go_forward(void **state)
{
    (void)state;
    /* 02:30 does not exist on 29 March: 03:00 summer time in its place, once. */
    check(BERLIN, "30 2 * * *", "2026-03-28 00:00:00", "2026-03-28 01:30:00, 2026-03-29 01:00:00, 2026-03-30 00:30:00");
    check(BERLIN, "0,30 2 * * *", "2026-03-29 00:59:00", "2026-03-29 01:00:00, 2026-03-30 00:00:00");
    check(BERLIN, "30 2,3 * * *", "2026-03-29 00:00:00", "2026-03-29 01:00:00, 2026-03-29 01:30:00");
    check(BERLIN, "30 2 * * *", "2026-03-29 01:00:00", "2026-03-30 00:30:00");
    check(BERLIN, "*/30 * * * *", "2026-03-29 00:30:00", "2026-03-29 01:00:00, 2026-03-29 01:30:00");
    check(BERLIN, "30 * * * *", "2026-03-29 00:30:00", "2026-03-29 01:30:00");
    check(NEW_YORK, "15 2 8 3 *", "2026-01-01 00:00:00", "2026-03-08 07:00:00, 2027-03-08 07:15:00");
    check(LORD_HOWE, "10 2 * * *", "2026-10-03 00:00:00", "2026-10-03 15:30:00, 2026-10-04 15:10:00");
    check(HAVANA, "0 0 * * *", "2026-03-07 06:00:00", "2026-03-08 05:00:00, 2026-03-09 04:00:00");
    check(HAVANA, "30 * 8 3 *", "2026-03-01 00:00:00", "2026-03-08 05:30:00, 2026-03-08 06:30:00");
}

static void clocks_go_back(void **state)
{
    (void)state;
    /* 02:30 occurs twice on 25 October: the first one counts. */
    check(BERLIN, "30 2 * * *", "2026-10-24 12:00:00", "2026-10-25 00:30:00, 2026-10-26 01:30:00");
    check(BERLIN, "30 2 * * *", "2026-10-25 01:10:00", "2026-10-26 01:30:00");
    check(BERLIN, "0 3 * * *", "2026-10-25 00:00:00", "2026-10-25 02:00:00");
    /* Every so many minutes goes on through both. */
    check(BERLIN, "*/30 * * * *", "2026-10-25 00:15:00",
          "2026-10-25 00:30:00, 2026-10-25 01:00:00, 2026-10-25 01:30:00, 2026-10-25 02:00:00");
    check(BERLIN, "0 */2 * * *", "2026-10-24 23:00:00", "2026-10-25 00:00:00, 2026-10-25 03:00:00");
    check(LORD_HOWE, "45 1 * * *", "2026-04-04 00:00:00", "2026-04-04 14:45:00, 2026-04-05 15:15:00");
    check(HAVANA, "@daily", "2026-10-31 12:00:00", "2026-11-01 04:00:00, 2026-11-02 05:00:00");
}

/* Every answer is after the question, matches the fields as clocks show it, and nothing in between was left out. */
static void agrees_with_a_walk_over_all_minutes(void **state)
{
    (void)state;
    static const char *const zones_walked[] = {UTC, BERLIN, NEW_YORK, LORD_HOWE};
    for (size_t z = 0; z < sizeof zones_walked / sizeof *zones_walked; z++) {
        use_zone(zones_walked[z]);
        Cron cron = parsed("7,33 * 1-8,25-31 3,4,10,11 *");
        int64_t end = utc("2027-01-01 00:00:00"), next = cron_next(&cron, utc("2026-01-01 00:00:00") - 1);
        for (int64_t second = utc("2026-01-01 00:00:00"); second < end; second += 60) {
            struct tm tm;
            time_t time = (time_t)second;
            localtime_r(&time, &tm);
            int month = tm.tm_mon + 1;
            bool wanted = (tm.tm_min == 7 || tm.tm_min == 33) && (tm.tm_mday <= 8 || tm.tm_mday >= 25) &&
                          (month == 3 || month == 4 || month == 10 || month == 11);
            if (wanted != (second == next))
                fail_msg("%s: %lld, next is %lld", zones_walked[z], (long long)second, (long long)next);
            if (wanted) next = cron_next(&cron, second);
        }
    }
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "there are 0"},
        {"* * * *", "there are 4"},
        {"0 0 9 * * 1", "there are 6"},
        {"60 * * * *", "minute (0-59), \"60\", is out of range"},
        {"* 24 * * *", "hour (0-23)"},
        {"* * 0 * *", "out of range"},
        {"* * 32 * *", "out of range"},
        {"* * * 13 *", "out of range"},
        {"* * * 0 *", "out of range"},
        {"* * * * 8", "out of range"},
        {"* * * * monday", "is not understood"},
        {"* * * janu *", "is not understood"},
        {"a * * * *", "is not understood"},
        {"1, * * * *", "is not understood"},
        {",1 * * * *", "is not understood"},
        {"1- * * * *", "is not understood"},
        {"-1 * * * *", "is not understood"},
        {"1-2-3 * * * *", "is not understood"},
        {"** * * * *", "is not understood"},
        {"*/0 * * * *", "step"},
        {"*/ * * * *", "step"},
        {"*/61 * * * *", "step"},
        {"*/-1 * * * *", "step"},
        {"5/10 * * * *", "write a range"},
        {"22-2 * * * *", "runs backwards"},
        {"0 0 * * fri-mon", "runs backwards"},
        {"99999999999999999999 * * * *", "out of range"},
        {"0 0 30 2 *", "does not exist"},
        {"0 0 31 feb,apr,jun *", "does not exist"},
        {"@reboot", "@hourly"},
        {"@", "@hourly"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char problem[200] = "";
        Cron cron;
        if (cron_parse(cases[i].text, &cron, problem, sizeof problem)) fail_msg("\"%s\" was accepted", cases[i].text);
        if (!strstr(problem, cases[i].part))
            fail_msg("\"%s\": \"%s\" does not say \"%s\"", cases[i].text, problem, cases[i].part);
    }
    char long_text[600], problem[200];
    Cron cron;
    memset(long_text, '*', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    assert_false(cron_parse(long_text, &cron, problem, sizeof problem));
}

/* One look at the clock: whether it calls, and which beat it waits for afterwards. */
static void look(const char *now, const char *due, bool once, bool busy, bool calls, const char *due_after)
{
    Cron cron = parsed("0 * * * *");
    int64_t due_s = utc(due);
    if (cron_beat(&cron, once, busy, utc(now), &due_s) != calls)
        fail_msg("at %s, due %s: calls: %d expected", now, due, calls);
    if (due_s != utc(due_after))
        fail_msg("at %s, due %s: then due %lld, expected %s", now, due, (long long)due_s, due_after);
}

static void beats(void **state)
{
    (void)state;
    static const bool skip = false, once = true, idle = false, busy = true;
    use_zone(UTC);
    /* Not yet; on time; late within the minute. */
    look("2026-01-01 08:59:59", "2026-01-01 09:00:00", skip, idle, false, "2026-01-01 09:00:00");
    look("2026-01-01 09:00:00", "2026-01-01 09:00:00", skip, idle, true, "2026-01-01 10:00:00");
    look("2026-01-01 09:00:59", "2026-01-01 09:00:00", skip, idle, true, "2026-01-01 10:00:00");
    /* The last call still runs: left out, or still due. */
    look("2026-01-01 09:00:00", "2026-01-01 09:00:00", skip, busy, false, "2026-01-01 10:00:00");
    look("2026-01-01 09:00:00", "2026-01-01 09:00:00", once, busy, false, "2026-01-01 09:00:00");
    look("2026-01-01 09:07:00", "2026-01-01 09:00:00", once, idle, true, "2026-01-01 10:00:00");
    /* The machine slept over three beats: left out, or one call for all of them. */
    look("2026-01-01 11:30:00", "2026-01-01 09:00:00", skip, idle, false, "2026-01-01 12:00:00");
    look("2026-01-01 11:30:00", "2026-01-01 09:00:00", once, idle, true, "2026-01-01 12:00:00");
    /* The clock was set back: a little, nothing is repeated; by days, it begins anew. */
    look("2026-01-01 08:30:00", "2026-01-01 11:00:00", skip, idle, false, "2026-01-01 11:00:00");
    look("2025-12-30 08:30:00", "2026-01-01 11:00:00", skip, idle, false, "2025-12-30 09:00:00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_and_names),
        cmocka_unit_test(shorthands),
        cmocka_unit_test(day_and_weekday),
        cmocka_unit_test(leap_years),
        cmocka_unit_test(zones),
        cmocka_unit_test(clocks_go_forward),
        cmocka_unit_test(clocks_go_back),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(agrees_with_a_walk_over_all_minutes),
        cmocka_unit_test(beats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
