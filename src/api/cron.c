/* cron.c - see cron.h.
 *
 * The search walks the calendar (years, months, days, hours, minutes as people write them), which knows nothing of
 * zones, and asks the C library what second a place in the calendar is. So a change of clocks is a matter of one
 * function, first_second, and of no loop. */
#include "api/cron.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* --- parsing ------------------------------------------------------------------------------------------------------ */

typedef struct {
    const char *name;
    int first, last;
    const char *const *names; /* of the values from `first`; NULL: none */
    int name_count;
} Field;

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                          "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

static const Field fields[FIELDS] = {
    [MINUTE] = {"minute", 0, 59, NULL, 0},           [HOUR] = {"hour", 0, 23, NULL, 0},
    [DAY] = {"day of the month", 1, 31, NULL, 0},    [MONTH] = {"month", 1, 12, month_names, 12},
    [WEEKDAY] = {"weekday", 0, 7, weekday_names, 7},
};

static const struct {
    const char *name, *meaning;
} shorthands[] = {
    {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"},
};

/* A number or a name at *at; -1 if there is neither. Numbers beyond every field stay beyond. */
static int read_value(const Field *field, const char **at)
{
    int value = 0;
    if (isdigit((unsigned char)**at)) {
        for (; isdigit((unsigned char)**at); (*at)++)
            if (value < 1000) value = value * 10 + (**at - '0');
        return value;
    }
    for (int i = 0; i < field->name_count; i++) {
        if (strncasecmp(*at, field->names[i], 3) != 0 || isalpha((unsigned char)(*at)[3])) continue;
        *at += 3;
        return field->first + i;
    }
    return -1;
}

/* One piece of a list, up to `,` or the end: `*`, `a`, `a-b`, each of them with a `/step` but the single value. */
static const char *read_piece(const Field *field, const char **at, uint64_t *set)
{
    int first = field->first, last = field->last, step = 1;
    bool single = false;
    if (**at == '*') {
        (*at)++;
    } else {
        first = last = read_value(field, at);
        single = **at != '-';
        if (!single) {
            (*at)++;
            last = read_value(field, at);
        }
        if (first < 0 || last < 0) return "is not understood";
        if (first < field->first || last > field->last || first > field->last) return "is out of range";
        if (last < first) return "has a range that runs backwards: write it as two, such as 22-23,0-2";
    }
    if (**at == '/') {
        if (single) return "has a step behind a single value: write a range, such as 5-59/10";
        (*at)++;
        step = isdigit((unsigned char)**at) ? read_value(field, at) : 0;
        if (step <= 0 || step > field->last) return "has a step that is none";
    }
    for (int value = first; value <= last; value += step)
        *set |= UINT64_C(1) << value;
    return **at && **at != ',' ? "is not understood" : NULL;
}

static const char *read_field(const Field *field, const char *text, uint64_t *set)
{
    *set = 0;
    for (;; text++) {
        const char *problem = read_piece(field, &text, set);
        if (problem) return problem;
        if (*text != ',') return NULL;
    }
}

typedef struct {
    int year, month, day, hour, minute; /* month and day from 1 */
} Place;

static bool find_place(const Cron *cron, Place *place);

/* Splits at white space. Returns how many words there are, of which the first FIELDS are stored; `text` is written
 * to. */
static int split(char *text, char *words[FIELDS])
{
    int count = 0;
    char *rest = text;
    for (char *word; (word = strtok_r(rest, " \t", &rest)); count++)
        if (count < FIELDS) words[count] = word;
    return count;
}

bool cron_parse(const char *text, Cron *out, char *problem, size_t problem_size)
{
    char copy[256], *words[FIELDS];
    uint64_t sets[FIELDS];
    const char *meaning = text;
    Place place = {2000, 1, 1, 0, 0};

    for (size_t i = 0; i < sizeof shorthands / sizeof *shorthands; i++)
        if (strcasecmp(text, shorthands[i].name) == 0) meaning = shorthands[i].meaning;
    if (*meaning == '@') {
        snprintf(problem, problem_size, "\"%.40s\" is not known: @hourly, @daily, @weekly, @monthly and @yearly are",
                 text);
        return false;
    }
    if ((size_t)snprintf(copy, sizeof copy, "%s", meaning) >= sizeof copy) {
        snprintf(problem, problem_size, "the expression is too long");
        return false;
    }
    int count = split(copy, words);
    if (count != FIELDS) {
        snprintf(problem, problem_size, "five fields are expected (minute hour day month weekday), there are %d",
                 count);
        return false;
    }
    for (int i = 0; i < FIELDS; i++) {
        const char *wrong = read_field(&fields[i], words[i], &sets[i]);
        if (!wrong) continue;
        snprintf(problem, problem_size, "the field %s (%d-%d), \"%.40s\", %s", fields[i].name, fields[i].first,
                 fields[i].last, words[i], wrong);
        return false;
    }
    if (sets[WEEKDAY] & 1u << 7) sets[WEEKDAY] |= 1;
    *out = (Cron){
        .minutes = sets[MINUTE],
        .hours = (uint32_t)sets[HOUR],
        .days = (uint32_t)sets[DAY],
        .months = (uint32_t)sets[MONTH],
        .weekdays = (uint32_t)sets[WEEKDAY] & 0x7f,
        .either_day = *words[DAY] != '*' && *words[WEEKDAY] != '*',
    };
    if (find_place(out, &place)) return true;
    snprintf(problem, problem_size, "\"%.100s\" names a date that does not exist", text);
    return false;
}

/* --- the calendar ------------------------------------------------------------------------------------------------- */

#define CALENDAR_YEARS 400 /* then its weekdays repeat */

static bool has(uint64_t set, int value)
{
    return set >> value & 1;
}

/* The first member of the set that is not below `from`; -1 if there is none. */
static int next_in(uint64_t set, int from)
{
    uint64_t rest = from > 63 ? 0 : set >> from;
    return rest ? from + __builtin_ctzll(rest) : -1;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    assert(month >= 1 && month <= 12);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* 0 for Sunday (Sakamoto). */
static int weekday_of(int year, int month, int day)
{
    static const int shift[] = {0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4};
    assert(month >= 1 && month <= 12);
    if (month < 3) year--;
    return (year + year / 4 - year / 100 + year / 400 + shift[month - 1] + day) % 7;
}

static bool day_matches(const Cron *cron, const Place *place)
{
    bool day = has(cron->days, place->day),
         weekday = has(cron->weekdays, weekday_of(place->year, place->month, place->day));
    return has(cron->months, place->month) && (cron->either_day ? day || weekday : day && weekday);
}

static void next_day(Place *place)
{
    place->hour = place->minute = 0;
    if (++place->day <= days_in(place->year, place->month)) return;
    place->day = 1;
    if (++place->month <= 12) return;
    place->month = 1;
    place->year++;
}

/* The first hour and minute of the day that match and are not before those of `place`. */
static bool find_in_day(const Cron *cron, Place *place)
{
    int minute = has(cron->hours, place->hour) ? next_in(cron->minutes, place->minute) : -1;
    int hour = minute >= 0 ? place->hour : next_in(cron->hours, place->hour + 1);
    if (hour < 0) return false;
    place->minute = minute >= 0 ? minute : next_in(cron->minutes, 0);
    place->hour = hour;
    return true;
}

/* Moves `place` to the first place at or after it that matches; false if there is none in all the years. */
static bool find_place(const Cron *cron, Place *place)
{
    for (int last = place->year + CALENDAR_YEARS; place->year < last; next_day(place)) {
        while (!has(cron->months, place->month) && place->year < last) {
            place->day = days_in(place->year, place->month);
            next_day(place);
        }
        if (day_matches(cron, place) && find_in_day(cron, place)) return true;
    }
    return false;
}

/* Past this minute. */
static void step_minute(Place *place)
{
    if (++place->minute < 60) return;
    place->minute = 0;
    if (++place->hour < 24) return;
    next_day(place);
}

/* --- places and seconds ------------------------------------------------------------------------------------------- */

static bool place_of(int64_t second, Place *place, long *offset_s)
{
    struct tm tm;
    time_t time = (time_t)second;
    if (!localtime_r(&time, &tm)) return false;
    *place = (Place){tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min};
    *offset_s = tm.tm_gmtoff;
    return true;
}

/* What second it would be there with that offset from UTC. */
static int64_t second_at(const Place *place, long offset_s)
{
    struct tm tm = {
        .tm_year = place->year - 1900,
        .tm_mon = place->month - 1,
        .tm_mday = place->day,
        .tm_hour = place->hour,
        .tm_min = place->minute,
    };
    return (int64_t)timegm(&tm) - offset_s;
}

/* The last second in low..high with the offset that holds at `low`, plus one: where clocks changed. */
static int64_t change_between(int64_t low, int64_t high, long offset_s)
{
    Place ignored;
    long offset;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (place_of(middle, &ignored, &offset) && offset == offset_s)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* The first second at which clocks show `place`, or, if they skip it, the second of the change. INT64_MAX if it
 * cannot be told. Two offsets may hold there: that of a day and a half before and that of as long after. No zone
 * changes twice in between. */
static int64_t first_second(const Place *place)
{
    enum { AROUND_S = 36 * 3600 };
    Place ignored;
    long before, after, offset;
    int64_t utc = second_at(place, 0);
    if (!place_of(utc - AROUND_S, &ignored, &before) || !place_of(utc + AROUND_S, &ignored, &after)) return INT64_MAX;
    int64_t early = second_at(place, before), late = second_at(place, after);
    if (place_of(early, &ignored, &offset) && offset == before) return early;
    if (place_of(late, &ignored, &offset) && offset == after) return late;
    return change_between(utc - AROUND_S, utc + AROUND_S, before);
}

/* Whole hours have no part in it: walks along the seconds, so that what clocks show twice is met twice. */
static int64_t next_of_every_hour(const Cron *cron, int64_t second)
{
    Place place;
    long offset_s;
    second -= ((second % 60) + 60) % 60;
    for (second += 60; place_of(second, &place, &offset_s); second += 60) {
        if (!day_matches(cron, &place)) {
            int64_t start;
            next_day(&place);
            if (!find_place(cron, &place) || (start = first_second(&place)) == INT64_MAX) return INT64_MAX;
            second = start > second ? start - 60 : second;
        } else if (has(cron->minutes, place.minute)) {
            return second;
        }
    }
    return INT64_MAX;
}

int64_t cron_next(const Cron *cron, int64_t after_s)
{
    const uint32_t every_hour = (1u << 24) - 1;
    Place place;
    long offset_s;
    if (cron->hours == every_hour) return next_of_every_hour(cron, after_s);
    if (!place_of(after_s, &place, &offset_s)) return INT64_MAX;
    /* From this minute on: while clocks show an hour for the second time, later places have seconds that have passed.
     */
    while (find_place(cron, &place)) {
        int64_t second = first_second(&place);
        if (second > after_s) return second;
        step_minute(&place);
    }
    return INT64_MAX;
}

bool cron_beat(const Cron *cron, bool once, bool busy, int64_t now_s, int64_t *due_s)
{
    int64_t next_s = cron_next(cron, now_s);
    if (now_s < *due_s) {
        /* Beats that a clock comes to again, set back a little, are not repeated. Set back by more than that, it was
         * wrong before. */
        if (*due_s - next_s > CRON_SET_BACK_S) *due_s = next_s;
        return false;
    }
    if (once && busy) return false; /* it stays due */
    bool missed = now_s - *due_s >= CRON_MISSED_S;
    *due_s = next_s;
    return !busy && (once || !missed);
}
