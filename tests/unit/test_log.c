/* test_log.c - the log: both formats, what is escaped, and a reader that stalls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/log.h"
#include "host/log_text.h"
#include "protocol/json.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ESC "\033"

static const char *line_of(LogFormat format, const char *app, const char *message, const char *fields)
{
    static char text[2048];
    Buffer out = {0};
    LogLine line = {.time = {.tv_sec = 1700000000, .tv_nsec = 7000000},
                    .level = LOG_WARN,
                    .app = app,
                    .message = slice_of(message),
                    .fields = slice_of(fields)};

    if (format == LOG_JSON) {
        log_line_json(&out, &line);
    } else {
        log_line_human(&out, &line, false);
    }
    (void)snprintf(text, sizeof text, "%.*s", SLICE_ARGS(buffer_slice(&out)));
    buffer_free(&out);
    return text;
}

static void human_line(void **state)
{
    (void)state;
    assert_string_equal(line_of(LOG_HUMAN, NULL, "hello", NULL), "22:13:20.007 WARN  hello\n");
    assert_string_equal(
        line_of(LOG_HUMAN, "app", "hello", "{\"code\":\"X\",\"text\":\"two words\",\"n\":1,\"o\":{\"a\":[]}}"),
        "22:13:20.007 WARN  app: hello  code=X text=\"two words\" n=1 o={\"a\":[]}\n");
}

static void later_lines_of_a_message_cannot_pass_for_lines(void **state)
{
    (void)state;
    assert_string_equal(line_of(LOG_HUMAN, NULL, "one\n22:13:20.007 ERROR forged\n\n", NULL),
                        "22:13:20.007 WARN  one\n    22:13:20.007 ERROR forged\n");
}

static void a_traceback_stands_below_the_line(void **state)
{
    (void)state;
    assert_string_equal(line_of(LOG_HUMAN, "app", "failed", "{\"traceback\":\"stack:\\n\\tf\\u001b\",\"n\":1}"),
                        "22:13:20.007 WARN  app: failed  n=1\n    stack:\n    \tf\\x1b\n");
    assert_string_equal(line_of(LOG_HUMAN, NULL, "failed", "{\"traceback\":[1]}"),
                        "22:13:20.007 WARN  failed  traceback=[1]\n");
}

static void json_line(void **state)
{
    (void)state;
    assert_string_equal(line_of(LOG_JSON, "app", "say \"x\"\n", "{\"a\":1}"),
                        "{\"time\":\"2023-11-14T22:13:20.007Z\",\"level\":\"warn\",\"app\":\"app\",\"message\":\"say "
                        "\\\"x\\\"\\n\",\"fields\":{\"a\":1}}\n");
    assert_string_equal(line_of(LOG_JSON, NULL, "", NULL),
                        "{\"time\":\"2023-11-14T22:13:20.007Z\",\"level\":\"warn\",\"message\":\"\"}\n");
}

/* Whether nothing in the line is obeyed by a terminal; its last newline aside. */
static bool is_plain(const char *line)
{
    for (const unsigned char *at = (const unsigned char *)line; *at; at++) {
        if (*at < 0x20 && !(*at == '\n' && !at[1])) return false;
        if (*at == 0x7f || (*at == 0xc2 && at[1] < 0xa0)) return false;
        if (*at == 0xe2 && at[1] == 0x80 && at[2] >= 0xaa && at[2] <= 0xae) return false;
    }
    return true;
}

static void what_a_terminal_obeys_is_escaped(void **state)
{
    static const char *const hostile[] = {ESC "]0;owned\007",
                                          "\r\b\177",
                                          "C1: \xc2\x9b"
                                          "31m",
                                          "reordered \xe2\x80\xae back \xe2\x80\xac",
                                          "stray \x9b"
                                          "31m",
                                          "\xe2\x80"};
    char fields[128];
    JsonError error;

    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        const char *human = line_of(LOG_HUMAN, hostile[i], hostile[i], NULL);
        assert_true(is_plain(human));
        Slice json = slice_of(line_of(LOG_JSON, hostile[i], hostile[i], NULL));
        assert_true(is_plain(json.data));
        assert_true(json_validate(json, &error));
    }
    /* Fields are JSON text already: what is raw in it becomes an escape that means the same. */
    (void)snprintf(fields, sizeof fields, "{\"a\":\"x\xc2\x9by\",\n\"b\":1}");
    assert_non_null(strstr(line_of(LOG_JSON, NULL, "m", fields), "{\"a\":\"x\\u009by\", \"b\":1}"));
    assert_non_null(strstr(line_of(LOG_HUMAN, NULL, "m", fields), "a=x\\u009by b=1"));
    assert_string_equal(line_of(LOG_HUMAN, NULL, "tab\tand \xc3\xa9\xe2\x82\xac", NULL),
                        "22:13:20.007 WARN  tab\tand \xc3\xa9\xe2\x82\xac\n");
}

static void names_of_levels_and_formats(void **state)
{
    LogLevel level;
    LogFormat format;

    (void)state;
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        assert_true(log_parse_level(log_level_name((LogLevel)i), &level));
        assert_int_equal(level, i);
    }
    assert_false(log_parse_level("loud", &level));
    assert_true(log_parse_format("json", &format) && format == LOG_JSON);
    assert_true(log_parse_format("human", &format) && format == LOG_HUMAN);
    assert_false(log_parse_format("xml", &format));
}

/* --- through a pipe --------------------------------------------------------------------------------------------------------- */

typedef struct {
    int fd;
    size_t size;
    char *text;
} Reader;

static void *read_to_end(void *context)
{
    Reader *reader = context;
    ssize_t got;

    reader->text = malloc(8u << 20);
    while ((got = read(reader->fd, reader->text + reader->size, (8u << 20) - 1 - reader->size)) > 0) {
        reader->size += (size_t)got;
    }
    reader->text[reader->size] = '\0';
    return NULL;
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;

    for (const char *at = text; (at = strstr(at, word)); at++) {
        count++;
    }
    return count;
}

static void *log_a_thousand(void *context)
{
    for (int i = 0; i < 1000; i++) {
        log_print(context, LOG_INFO, "app", "line %d", i);
    }
    return NULL;
}

static void threads_log_whole_lines_and_all_are_flushed(void **state)
{
    int ends[2];
    pthread_t writers[4], thread;
    Reader reader = {0};

    (void)state;
    assert_int_equal(pipe(ends), 0);
    reader.fd = ends[0];
    assert_int_equal(pthread_create(&thread, NULL, read_to_end, &reader), 0);
    Log *log = log_new(&(LogConfig){.level = LOG_INFO, .fd = ends[1]});
    assert_non_null(log);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&writers[i], NULL, log_a_thousand, log), 0);
    }
    log_print(log, LOG_DEBUG, NULL, "below the level");
    for (int i = 0; i < 4; i++) {
        pthread_join(writers[i], NULL);
    }
    log_free(log);
    close(ends[1]);
    pthread_join(thread, NULL);
    assert_int_equal(count_of(reader.text, "INFO  app: line "), 4000);
    assert_int_equal(count_of(reader.text, "\n"), 4000);
    assert_int_equal(count_of(reader.text, "below"), 0);
    free(reader.text);
    close(ends[0]);
}

static void lines_that_nobody_takes_are_dropped_counted_and_reported(void **state)
{
    int ends[2];
    char text[1001];
    pthread_t thread;
    Reader reader = {0};
    LogStats stats;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(pipe(ends), 0);
    Log *log = log_new(&(LogConfig){.level = LOG_INFO, .fd = ends[1]});
    for (int i = 0; i < 5000; i++) {
        log_write(log, LOG_INFO, NULL, slice_of(text), (Slice){0}); /* nobody reads: it does not wait all the same */
    }
    log_stats(log, &stats);
    assert_int_equal(stats.lines + stats.dropped, 5000);
    assert_true(stats.dropped > 3500);
    reader.fd = ends[0];
    assert_int_equal(pthread_create(&thread, NULL, read_to_end, &reader), 0);
    log_free(log);
    close(ends[1]);
    pthread_join(thread, NULL);

    char report[96];
    (void)snprintf(report, sizeof report, "%llu lines of the log were dropped", (unsigned long long)stats.dropped);
    assert_int_equal(count_of(reader.text, report), 1);
    assert_int_equal(count_of(reader.text, "INFO"), stats.lines);
    free(reader.text);
    close(ends[0]);
}

static void reader_that_never_reads_does_not_hold_the_end(void **state)
{
    int ends[2];
    char text[1001];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(pipe(ends), 0);
    Log *log = log_new(&(LogConfig){.level = LOG_INFO, .fd = ends[1]});
    for (int i = 0; i < 200; i++) {
        log_write(log, LOG_INFO, NULL, slice_of(text), (Slice){0});
    }
    log_free(log); /* returns, or the test runs into its time limit */
    close(ends[0]);
    close(ends[1]);
}

static char *log_one(LogFormat format, Slice message, Slice fields)
{
    int ends[2];
    pthread_t thread;
    Reader reader = {0};

    assert_int_equal(pipe(ends), 0);
    reader.fd = ends[0];
    assert_int_equal(pthread_create(&thread, NULL, read_to_end, &reader), 0);
    Log *log = log_new(&(LogConfig){.level = LOG_INFO, .format = format, .fd = ends[1]});
    log_write(log, LOG_INFO, "app", message, fields);
    log_free(log);
    close(ends[1]);
    pthread_join(thread, NULL);
    close(ends[0]);
    return reader.text;
}

static void a_line_too_long_for_the_ring_is_cut_and_says_so(void **state)
{
    enum { SIZE = 2 << 20 };
    char *text = malloc(SIZE), *line;
    int64_t cut_bytes = 0;

    (void)state;
    assert_non_null(text);
    memset(text, '\x01', SIZE); /* each becomes an escape */
    line = log_one(LOG_HUMAN, slice_make(text, SIZE), (Slice){0});
    assert_true(strlen(line) > (32u << 10) && strlen(line) <= LOG_LINE_BYTES);
    assert_non_null(strstr(line, "INFO  app: \\x01"));
    assert_non_null(strstr(line, "  cut_bytes=2064384\n"));
    free(line);

    line = log_one(LOG_JSON, slice_make(text, SIZE), (Slice){0});
    assert_true(strlen(line) <= LOG_LINE_BYTES);
    assert_true(json_validate(slice_make(line, strlen(line) - 1), NULL));
    free(line);

    /* Fields cannot be cut: they give way. */
    memset(text, ' ', SIZE);
    text[0] = '{';
    text[SIZE - 1] = '}';
    line = log_one(LOG_JSON, slice_of("short"), slice_make(text, SIZE));
    assert_true(json_get_int(json_find(json_find(slice_of(line), "fields"), "cut_bytes"), &cut_bytes));
    assert_int_equal(cut_bytes, SIZE);
    assert_true(slice_is(json_plain_string(json_find(slice_of(line), "message")), "short"));
    free(line);
    free(text);
}

static void the_same_message_once_in_a_while(void **state)
{
    LogLimit limit = {0};
    uint64_t skipped;

    (void)state;
    assert_true(log_allow(&limit, 1000, 500, &skipped));
    assert_int_equal(skipped, 0);
    assert_false(log_allow(&limit, 1001, 500, &skipped));
    assert_false(log_allow(&limit, 1499, 500, &skipped));
    assert_true(log_allow(&limit, 1500, 500, &skipped));
    assert_int_equal(skipped, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(human_line),
        cmocka_unit_test(later_lines_of_a_message_cannot_pass_for_lines),
        cmocka_unit_test(a_traceback_stands_below_the_line),
        cmocka_unit_test(json_line),
        cmocka_unit_test(what_a_terminal_obeys_is_escaped),
        cmocka_unit_test(names_of_levels_and_formats),
        cmocka_unit_test(threads_log_whole_lines_and_all_are_flushed),
        cmocka_unit_test(lines_that_nobody_takes_are_dropped_counted_and_reported),
        cmocka_unit_test(reader_that_never_reads_does_not_hold_the_end),
        cmocka_unit_test(a_line_too_long_for_the_ring_is_cut_and_says_so),
        cmocka_unit_test(the_same_message_once_in_a_while),
    };

    (void)setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
