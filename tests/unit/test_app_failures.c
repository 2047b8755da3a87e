/* test_app_failures.c - what comes of calls that fail: the handler is switched off for a while, the event is kept and can be put back, and
 * a generation that does badly asks for the one before, or for a fresh state. */
#define _GNU_SOURCE /* nftw */
#include "app/app.h"

#include "app_rig.h"
#include "temp_dir.h"

#include <fcntl.h>

/* --- helpers ------------------------------------------------------------------------------------------------------------------ */

static void setup(Bench *bench, const char *script, AppConfig config)
{
    if (!bench_load_with(bench, script, config)) fail_msg("did not load: %s", bench->problem);
    assert_true(app_start(bench->app));
}

static void rewrite(const Bench *bench, const char *script)
{
    int fd = open(bench->path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, script, strlen(script)), (ssize_t)strlen(script));
    close(fd);
}

static bool news_since(const World *world, const void *count)
{
    return world->news > *(const int *)count;
}

static AppReloaded reload(Bench *bench, ReloadKind kind, const char *script)
{
    AppReloaded result;
    rewrite(bench, script);
    assert_true(app_reload(bench->app, kind, "test"));
    for (;;) {
        pthread_mutex_lock(&bench->world.lock);
        int news = bench->world.news;
        pthread_mutex_unlock(&bench->world.lock);
        if (app_reloaded(bench->app, &result)) return result;
        await(&bench->world, news_since, &news, "what comes of the reload");
    }
}

static void reload_well(Bench *bench, ReloadKind kind, const char *script)
{
    AppReloaded result = reload(bench, kind, script);
    if (result.outcome != RELOADED_DONE) fail_msg("not reloaded: %s", result.text);
}

static void await_complaint(Bench *bench, const char *text)
{
    await(&bench->world, complained, text, text);
}

typedef struct {
    const char *pattern;
    HandlerStatus status;
} Wanted;

static void take_handler(void *context, const HandlerStatus *handler)
{
    Wanted *wanted = context;
    if (strcmp(handler->pattern, wanted->pattern) == 0) wanted->status = *handler;
}

static HandlerStatus handler_of(Bench *bench, const char *pattern)
{
    Wanted wanted = {.pattern = pattern};
    app_each_handler(bench->app, take_handler, &wanted);
    return wanted.status;
}

static AppStatus status_of(Bench *bench)
{
    AppStatus status;
    app_status(bench->app, 0, &status);
    return status;
}

/* What is in the inbox before it is done when this returns. */
static void settle(Bench *bench)
{
    char expected[32];
    static unsigned number = 1000;
    snprintf(expected, sizeof expected, "eval%u:", ++number);
    assert_true(app_eval(bench->app, number, slice_of("''")));
    await_note(&bench->world, expected);
}

typedef struct {
    size_t count;
    DeadLetter last;
    char handler[128], event[64], payload[64], traceback[512];
} Letters;

static void take_letter(void *context, const DeadLetter *letter)
{
    Letters *letters = context;
    letters->count++;
    letters->last = *letter;
    snprintf(letters->handler, sizeof letters->handler, "%s", letter->handler);
    snprintf(letters->event, sizeof letters->event, "%.*s", SLICE_ARGS(letter->message->name));
    snprintf(letters->payload, sizeof letters->payload, "%.*s", SLICE_ARGS(letter->message->payload));
    snprintf(letters->traceback, sizeof letters->traceback, "%.500s", letter->traceback);
}

/* The last of them, and how many. */
static Letters letters_of(Bench *bench)
{
    Letters letters = {0};
    app_dead_each(bench->app, take_letter, &letters);
    return letters;
}

/* --- quarantine ----------------------------------------------------------------------------------------------------------------- */

static void a_handler_that_fails_in_a_row_is_skipped_and_the_others_are_not(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) note('bad' .. n) error('no') end) on('e', function(n) note('good' .. n) end)",
          (AppConfig){.quarantine_failures = 3});
    for (int i = 1; i <= 5; i++) {
        char payload[16];
        snprintf(payload, sizeof payload, "%d", i);
        send_event(&bench, "e", payload);
    }
    await_note(&bench.world, "good5");
    settle(&bench);
    assert_non_null(strstr(bench.world.notes, "bad3"));
    assert_null(strstr(bench.world.notes, "bad4"));
    assert_true(complained(&bench.world, "failed 3 times in a row: switched off for 1 s; its events are skipped"));
    HandlerStatus bad = handler_of(&bench, "e"); /* the second one of the two … */
    assert_false(bad.off);
    assert_int_equal(bad.skipped, 0);
    assert_int_equal(status_of(&bench).skipped, 2);
    assert_int_equal(letters_of(&bench).count, 3); /* what is skipped is none */
    bench_stop(&bench);
}

static void its_first_success_lifts_it(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench,
          "on('e', function(n) if n == 0 then error('no') end note('got' .. n) end)\n"
          "on('wait', function() sleep(1001) note('waited') end)",
          (AppConfig){.quarantine_failures = 1});
    send_event(&bench, "e", "0");
    await_complaint(&bench, "failed 1 times in a row");
    send_event(&bench, "e", "1");
    settle(&bench);
    assert_true(handler_of(&bench, "e").off);
    assert_int_equal(handler_of(&bench, "e").skipped, 1);
    send_event(&bench, "wait", "");
    await_note(&bench.world, "waited");
    send_event(&bench, "e", "2");
    send_event(&bench, "e", "3");
    await_note(&bench.world, "got2 got3");
    assert_null(strstr(bench.world.notes, "got1"));
    assert_false(handler_of(&bench, "e").off);
    bench_stop(&bench);
}

static void events_that_waited_are_skipped_too(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) send() error('no') end)", (AppConfig){.quarantine_failures = 1});
    send_event(&bench, "e", "1");
    await_requests(&bench.world, 1);
    send_event(&bench, "e", "2");
    send_event(&bench, "e", "3");
    answer(&bench, 0, true, true, "1");
    settle(&bench);
    assert_int_equal(status_of(&bench).skipped, 2);
    assert_int_equal(handler_of(&bench, "e").queued, 0);
    bench_stop(&bench);
}

static void handlers_of_host_events_are_always_called(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('@tick', function(n) note('tick' .. n) error('no') end)", (AppConfig){.quarantine_failures = 1});
    for (int i = 1; i <= 3; i++)
        send_event(&bench, "@tick", "3");
    settle(&bench);
    assert_int_equal(handler_of(&bench, "@tick").errors, 3);
    assert_int_equal(letters_of(&bench).count, 0);
    bench_stop(&bench);
}

static void without_a_quarantine_it_is_called_for_ever(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function() error('no') end)", (AppConfig){.quarantine_failures = -1});
    for (int i = 0; i < 20; i++)
        send_event(&bench, "e", "1");
    settle(&bench);
    assert_int_equal(handler_of(&bench, "e").errors, 20);
    bench_stop(&bench);
}

/* --- dead letters ---------------------------------------------------------------------------------------------------------------- */

static void an_event_whose_handler_raised_is_kept_with_its_traceback(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) error('no ' .. n) end)", (AppConfig){0});
    send_event(&bench, "e", "5");
    settle(&bench);
    Letters letters = letters_of(&bench);
    assert_int_equal(letters.count, 1);
    assert_string_equal(letters.event, "e");
    assert_string_equal(letters.payload, "5");
    assert_int_equal(letters.last.attempts, 1);
    assert_true(letters.last.failed_ms > 0);
    assert_non_null(strstr(letters.handler, "e ("));
    assert_non_null(strstr(letters.traceback, "no 5\nstack traceback:"));
    bench_stop(&bench);
}

static void one_that_raised_after_it_had_waited_is_kept_too(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) send() send() error('late') end)", (AppConfig){0});
    send_event(&bench, "e", "5");
    await_requests(&bench.world, 1);
    answer(&bench, 0, true, true, "1");
    await_requests(&bench.world, 2);
    answer(&bench, 1, true, true, "1");
    settle(&bench);
    assert_string_equal(letters_of(&bench).payload, "5");
    bench_stop(&bench);
}

static void one_that_was_cancelled_is_none(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function() local _, err = send() error(err) end)", (AppConfig){0});
    send_event(&bench, "e", "5");
    await_requests(&bench.world, 1);
    app_stop(bench.app);
    await(&bench.world, has_ended, NULL, "the end");
    assert_int_equal(letters_of(&bench).count, 0);
    assert_true(app_free(bench.app));
    unlink(bench.path);
}

static void what_is_put_back_goes_to_the_handler_that_it_failed_in(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench,
          "fine = false\n"
          "on('e', function() note('first') end)\n"
          "on('e', function() if not fine then error('no') end note('fine') end)",
          (AppConfig){0});
    send_event(&bench, "e", "5");
    settle(&bench);
    assert_int_equal(app_dead_retry(bench.app, 17), 0);
    assert_int_equal(app_dead_retry(bench.app, 1), 1);
    settle(&bench);
    Letters letters = letters_of(&bench);
    assert_int_equal(letters.count, 1);
    assert_int_equal(letters.last.attempts, 2);
    assert_true(app_eval(bench.app, 900, slice_of("_G.fine = true")));
    assert_int_equal(app_dead_retry(bench.app, 0), 1);
    await_note(&bench.world, "fine");
    settle(&bench);
    assert_int_equal(letters_of(&bench).count, 0);
    assert_null(strstr(strstr(bench.world.notes, "first") + 1, "first")); /* that one had it already */
    bench_stop(&bench);
}

static void attempts_are_counted_where_it_had_to_wait(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) if n > 1 then send() end error('no') end)", (AppConfig){0});
    send_event(&bench, "e", "1");
    settle(&bench);
    send_event(&bench, "e", "2");
    await_requests(&bench.world, 1);
    assert_int_equal(app_dead_retry(bench.app, 0), 1); /* waits behind the other */
    settle(&bench);
    assert_int_equal(letters_of(&bench).count, 0);
    reload_well(&bench, RELOAD_ASKED,
                "on('e', function(n) error('not here either') end)"); /* … and goes to the next one */
    answer(&bench, 0, true, true, "1");
    await_complaint(&bench, "not here either");
    settle(&bench);
    Letters letters = letters_of(&bench);
    assert_int_equal(letters.count, 2);
    assert_string_equal(letters.payload, "1");
    assert_int_equal(letters.last.attempts, 2);
    bench_stop(&bench);
}

static void without_a_handler_it_stays_and_with_a_new_one_it_goes_there(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function() error('no') end)", (AppConfig){0});
    send_event(&bench, "e", "5");
    settle(&bench);
    reload_well(&bench, RELOAD_ASKED, "on('other', function() end)");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(app_dead_retry(bench.app, 0), 1);
        settle(&bench);
        Letters letters = letters_of(&bench);
        assert_int_equal(letters.count, 1);
        assert_int_equal(letters.last.attempts, 1);
        assert_ptr_equal(strstr(letters.traceback, "there is no handler any more"), letters.traceback);
        assert_non_null(strstr(letters.traceback, ": no\n"));
        assert_null(strstr(letters.traceback + 1, "there is no handler any more"));
    }
    reload_well(&bench, RELOAD_ASKED,
                "\n\non('e', function(n) note('new' .. n) end)"); /* another line: another label */
    assert_int_equal(app_dead_retry(bench.app, 0), 1);
    await_note(&bench.world, "new5");
    bench_stop(&bench);
}

static void what_is_put_back_while_its_handler_is_off_is_not_lost(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function() error('no') end)", (AppConfig){.quarantine_failures = 1});
    send_event(&bench, "e", "5");
    settle(&bench);
    assert_int_equal(app_dead_retry(bench.app, 0), 1);
    settle(&bench);
    Letters letters = letters_of(&bench);
    assert_int_equal(letters.count, 1);
    assert_int_equal(letters.last.attempts, 1);
    assert_non_null(strstr(letters.traceback, "switched off"));
    bench_stop(&bench);
}

static void what_a_generation_replaced_by_force_was_busy_with_is_kept(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) note('stuck') hang() error('late') end)", (AppConfig){.cpu_ms = 1});
    send_event(&bench, "e", "5");
    await_note(&bench.world, "stuck");
    reload_well(&bench, RELOAD_ASKED, "on('e', function(n) note('again' .. n) end)");
    send_event(&bench, "x", "1");
    settle(&bench);
    Letters letters = letters_of(&bench);
    assert_int_equal(letters.count, 1);
    assert_string_equal(letters.traceback, "it was being handled when the generation was replaced by force");
    assert_int_equal(app_dead_retry(bench.app, letters.last.id), 1);
    await_note(&bench.world, "again5");
    unhang(&bench.world);
    await_complaint(&bench, "failed: "); /* whatever becomes of the late one: it is no letter any more */
    settle(&bench);
    assert_int_equal(letters_of(&bench).count, 0);
    bench_stop(&bench);
    assert_non_null(strstr(bench.world.notes, "again5"));
}

static void a_call_that_is_stuck_after_it_has_waited_is_one_too(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) send() note('stuck') hang() end)", (AppConfig){.cpu_ms = 1});
    send_event(&bench, "e", "6");
    await_requests(&bench.world, 1);
    answer(&bench, 0, true, true, "1");
    await_note(&bench.world, "stuck");
    reload_well(&bench, RELOAD_ASKED, "");
    settle(&bench);
    assert_string_equal(letters_of(&bench).payload, "6");
    unhang(&bench.world);
    bench_stop(&bench);
}

static void on_the_disk_they_outlive_the_app(void **state)
{
    Bench bench;
    TempDir folder;
    (void)state;
    temp_dir_make(&folder);
    AppConfig config = {.data_dir = folder.path, .dead_letters = true};
    setup(&bench, "on('e', function(n) error('no') end)", config);
    send_event(&bench, "e", "5");
    settle(&bench);
    bench_stop(&bench);
    setup(&bench, "on('e', function(n) note('again' .. n) end)", config);
    assert_int_equal(letters_of(&bench).count, 1);
    assert_int_equal(app_dead_retry(bench.app, 0), 1);
    await_note(&bench.world, "again5");
    settle(&bench);
    bench_stop(&bench);
    setup(&bench, "", config);
    assert_int_equal(letters_of(&bench).count, 0);
    bench_stop(&bench);
    temp_dir_remove(folder.path);
}

static void an_event_for_which_no_call_can_be_made_is_kept(void **state)
{
    Bench bench;
    (void)state;
    setup(&bench, "on('e', function(n) end)", (AppConfig){0});
    send_event(&bench, "e", "BAD");
    settle(&bench);
    Letters letters = letters_of(&bench);
    assert_int_equal(letters.count, 1);
    assert_non_null(strstr(letters.traceback, "could not be called"));
    bench_stop(&bench);
}

/* --- the way back ------------------------------------------------------------------------------------------------------------------ */

static void send_many(Bench *bench, int count, const char *payload)
{
    for (int i = 0; i < count; i++)
        send_event(bench, "e", payload);
    settle(bench);
}

#define PICKY "on('e', function(n) if n == 0 then error('no ' .. n) end end)"

static void too_many_failures_of_the_first_calls_ask_for_the_way_back_once(void **state)
{
    Bench bench;
    char reason[256];
    (void)state;
    setup(&bench, PICKY, (AppConfig){.rollback_failures = 3, .rollback_calls = 6});
    send_many(&bench, 6, "0");
    assert_int_equal(app_wish(bench.app, reason, sizeof reason), WISH_NONE); /* nobody was before it */
    reload_well(&bench, RELOAD_ASKED, PICKY " ");
    send_many(&bench, 1, "1");
    send_many(&bench, 3, "0");
    assert_int_equal(app_wish(bench.app, reason, sizeof reason), WISH_NONE);
    send_many(&bench, 1, "0");
    assert_int_equal(app_wish(bench.app, reason, sizeof reason), WISH_BACK);
    assert_ptr_equal(strstr(reason, "4 of its first 5 handler calls failed; the last: "), reason);
    assert_non_null(strstr(reason, ": no 0"));
    assert_null(strchr(reason, '\n'));
    send_many(&bench, 5, "0");
    assert_int_equal(app_wish(bench.app, reason, sizeof reason), WISH_NONE);
    bench_stop(&bench);
}

static void failures_after_the_first_calls_do_not(void **state)
{
    Bench bench;
    char reason[256];
    (void)state;
    setup(&bench, "", (AppConfig){.rollback_failures = 1, .rollback_calls = 3});
    reload_well(&bench, RELOAD_ASKED, PICKY);
    send_many(&bench, 1, "0");
    send_many(&bench, 2, "1");
    send_many(&bench, 5, "0");
    assert_int_equal(app_wish(bench.app, reason, sizeof reason), WISH_NONE);
    bench_stop(&bench);
}

static void with_the_way_back_off_nothing_is_asked_for(void **state)
{
    Bench bench;
    char reason[256];
    (void)state;
    setup(&bench, "", (AppConfig){.rollback_failures = -1});
    reload_well(&bench, RELOAD_ASKED, PICKY);
    send_many(&bench, 20, "0");
    assert_int_equal(app_wish(bench.app, reason, sizeof reason), WISH_NONE);
    bench_stop(&bench);
}

/* --- a fresh state ------------------------------------------------------------------------------------------------------------------ */

#define HUNGRY                                                                        \
    "hoard = {}\n"                                                                    \
    "on('e', function() while true do hoard[#hoard + 1] = ('x'):rep(1000) end end)\n" \
    "on('free', function() hoard = {} end)"

static void memory_that_stays_full_asks_for_a_fresh_state_once(void **state)
{
    Bench bench;
    char reason[256];
    (void)state;
    setup(&bench, HUNGRY, (AppConfig){.memory_bytes = 4u << 20});
    send_many(&bench, 2, "1");
    await_complaint(&bench, "after a full collection");
    assert_int_equal(app_wish(bench.app, reason, sizeof reason), WISH_AGAIN);
    assert_ptr_equal(strstr(reason, "memory: 3 of 4 MiB are in use after a full collection"), reason);
    send_many(&bench, 1, "1");
    assert_int_equal(app_wish(bench.app, reason, sizeof reason), WISH_NONE);
    bench_stop(&bench);
}

static void the_next_one_does_not_ask_before_its_time(void **state)
{
    Bench bench;
    char reason[256];
    (void)state;
    setup(&bench, HUNGRY, (AppConfig){.memory_bytes = 4u << 20});
    send_many(&bench, 1, "1");
    await_complaint(&bench, "after a full collection");
    int64_t begun_ms = generation_now_ms();
    assert_int_equal(app_wish(bench.app, reason, sizeof reason), WISH_AGAIN);
    reload_well(&bench, RELOAD_AGAIN, HUNGRY);
    send_many(&bench, 1, "1");
    AppWish wish = app_wish(bench.app, reason, sizeof reason);
    if (generation_now_ms() - begun_ms < 900) assert_int_equal(wish, WISH_NONE);
    while (wish == WISH_NONE) {
        pthread_mutex_lock(&bench.world.lock);
        int news = bench.world.news;
        pthread_mutex_unlock(&bench.world.lock);
        wish = app_wish(bench.app, reason, sizeof reason);
        if (wish == WISH_NONE) await(&bench.world, news_since, &news, "the wish");
    }
    assert_int_equal(wish, WISH_AGAIN);
    assert_true(generation_now_ms() - begun_ms >= 900);
    bench_stop(&bench);
}

static void memory_that_was_only_garbage_asks_for_nothing(void **state)
{
    Bench bench;
    char reason[256];
    (void)state;
    setup(&bench, "on('e', function() local hoard = {} while true do hoard[#hoard + 1] = ('x'):rep(1000) end end)",
          (AppConfig){.memory_bytes = 4u << 20});
    send_many(&bench, 3, "1");
    assert_int_equal(app_wish(bench.app, reason, sizeof reason), WISH_NONE);
    bench_stop(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_that_fails_in_a_row_is_skipped_and_the_others_are_not),
        cmocka_unit_test(its_first_success_lifts_it),
        cmocka_unit_test(events_that_waited_are_skipped_too),
        cmocka_unit_test(handlers_of_host_events_are_always_called),
        cmocka_unit_test(without_a_quarantine_it_is_called_for_ever),
        cmocka_unit_test(an_event_whose_handler_raised_is_kept_with_its_traceback),
        cmocka_unit_test(one_that_raised_after_it_had_waited_is_kept_too),
        cmocka_unit_test(one_that_was_cancelled_is_none),
        cmocka_unit_test(what_is_put_back_goes_to_the_handler_that_it_failed_in),
        cmocka_unit_test(attempts_are_counted_where_it_had_to_wait),
        cmocka_unit_test(without_a_handler_it_stays_and_with_a_new_one_it_goes_there),
        cmocka_unit_test(what_is_put_back_while_its_handler_is_off_is_not_lost),
        cmocka_unit_test(what_a_generation_replaced_by_force_was_busy_with_is_kept),
        cmocka_unit_test(a_call_that_is_stuck_after_it_has_waited_is_one_too),
        cmocka_unit_test(on_the_disk_they_outlive_the_app),
        cmocka_unit_test(an_event_for_which_no_call_can_be_made_is_kept),
        cmocka_unit_test(too_many_failures_of_the_first_calls_ask_for_the_way_back_once),
        cmocka_unit_test(failures_after_the_first_calls_do_not),
        cmocka_unit_test(with_the_way_back_off_nothing_is_asked_for),
        cmocka_unit_test(memory_that_stays_full_asks_for_a_fresh_state_once),
        cmocka_unit_test(the_next_one_does_not_ask_before_its_time),
        cmocka_unit_test(memory_that_was_only_garbage_asks_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
