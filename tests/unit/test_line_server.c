/* The control socket's server: who may come in, what a line is, and that nobody can make it wait or grow. */
#define _GNU_SOURCE /* POLLRDHUP */
#include "net/line_server.h"

#include "net/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define GIVE_UP_MS 10000
#define NAME "control.sock"

typedef struct {
    Loop *loop;
    LineServer *server;
    char folder[64];
    LoopTimer give_up;
    LoopTurn turn;
    bool (*done)(void *fixture);
    bool gave_up;
    char lines[4096]; /* those that came, each behind its peer's number */
    size_t line_count, last_size;
    unsigned closed;
    bool keeps; /* a line stays in work */
    bool echoes;
    uint64_t last_peer;
} Fixture;

static void on_line(void *context, uint64_t peer, Slice line)
{
    Fixture *f = context;
    Buffer answer = {0};
    size_t used = strlen(f->lines);

    snprintf(f->lines + used, sizeof f->lines - used, "%llu:%.*s ", (unsigned long long)peer,
             (int)(line.size < 40 ? line.size : 40), line.data);
    f->line_count++;
    f->last_size = line.size;
    f->last_peer = peer;
    if (f->echoes) {
        buffer_append_slice(&answer, line);
        buffer_append_char(&answer, '\n');
        (void)line_server_send(f->server, peer, buffer_slice(&answer), false);
        buffer_free(&answer);
    }
    if (!f->keeps) line_server_next(f->server, peer);
}

static void on_closed(void *context, uint64_t peer)
{
    Fixture *f = context;
    (void)peer;
    f->closed++;
}

static void give_up(void *context)
{
    Fixture *f = context;
    f->gave_up = true;
    loop_stop(f->loop);
}

static void turn_end(void *context)
{
    Fixture *f = context;
    if (f->done(f)) loop_stop(f->loop);
}

static void run_until(Fixture *f, bool (*done)(void *fixture))
{
    f->done = done;
    f->gave_up = false;
    f->turn = (LoopTurn){.end = turn_end, .context = f};
    loop_on_turn_end(f->loop, &f->turn);
    loop_timer_set(f->loop, &f->give_up, loop_now_ms(f->loop) + GIVE_UP_MS);
    loop_run(f->loop);
    loop_timer_set(f->loop, &f->give_up, HEAP_NEVER);
    loop_off_turn_end(f->loop, &f->turn);
    if (f->gave_up) fail_msg("it did not come: %zu lines (%s), %u closed", f->line_count, f->lines, f->closed);
}

static void tick(void *context)
{
    Fixture *f = context;
    loop_stop(f->loop);
}

/* Some turns: what could come comes. */
static void run_turns(Fixture *f)
{
    LoopTimer timer = {.fire = tick, .context = f};
    for (int i = 0; i < 5; i++) {
        loop_timer_set(f->loop, &timer, loop_now_ms(f->loop) + 2);
        loop_run(f->loop);
    }
}

static LineServer *serve(Fixture *f, const char *folder, char *problem, size_t size)
{
    LineServerSink sink = {.context = f,
                           .line = on_line,
                           .closed = on_closed,
                           .too_long = slice_of("too long\n"),
                           .too_many = slice_of("too many\n")};
    return line_server_new(f->loop, folder, NAME, &sink, problem, size);
}

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    char problem[1024];

    snprintf(f->folder, sizeof f->folder, "/tmp/gatehouse-lines-XXXXXX");
    if (!f || !mkdtemp(f->folder)) return -1;
    f->loop = loop_new();
    f->give_up = (LoopTimer){.fire = give_up, .context = f};
    f->server = serve(f, f->folder, problem, sizeof problem);
    *state = f;
    return f->server ? 0 : -1;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    line_server_free(f->server);
    loop_free(f->loop);
    bool empty = rmdir(f->folder) == 0; /* the socket is gone with its server */
    free(f);
    return empty ? 0 : -1;
}

static int dial(Fixture *f)
{
    int fd = unix_socket_connect(f->folder, NAME);
    assert_true(fd >= 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static const char *hear(int fd)
{
    static char heard[65536];
    ssize_t got = recv(fd, heard, sizeof heard - 1, MSG_DONTWAIT);
    heard[got > 0 ? got : 0] = '\0';
    return heard;
}

static bool is_closed(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLRDHUP};
    return poll(&ready, 1, 0) == 1 && (ready.revents & (POLLHUP | POLLRDHUP)) != 0;
}

static bool three_lines(void *context)
{
    return ((Fixture *)context)->line_count >= 3;
}

static bool one_line(void *context)
{
    return ((Fixture *)context)->line_count >= 1;
}

static bool one_closed(void *context)
{
    return ((Fixture *)context)->closed >= 1;
}

/* --- */

static void socket_is_for_its_owner_alone(void **state)
{
    Fixture *f = *state;
    struct stat about;
    char path[512];

    snprintf(path, sizeof path, "%s/%s", f->folder, NAME);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
}

static void lines_come_in_order_whatever_the_pieces(void **state)
{
    Fixture *f = *state;
    int fd = dial(f);

    say(fd, "on");
    run_turns(f);
    assert_int_equal(f->line_count, 0);
    say(fd, "e\ntwo\n");
    say(fd, "three\n");
    run_until(f, three_lines);
    assert_string_equal(f->lines, "1:one 1:two 1:three ");
    close(fd);
    run_until(f, one_closed);
}

static void one_line_is_in_work_at_a_time(void **state)
{
    Fixture *f = *state;
    int fd = dial(f);

    f->keeps = true;
    say(fd, "one\ntwo\n");
    run_until(f, one_line);
    run_turns(f);
    assert_string_equal(f->lines, "1:one ");
    line_server_next(f->server, 1);
    run_turns(f);
    assert_string_equal(f->lines, "1:one 1:two ");
    close(fd);
}

static void lines_of_one_peer_leave_the_loop_to_others_in_between(void **state)
{
    Fixture *f = *state;
    int fd = dial(f);

    run_turns(f);
    say(fd, "one\ntwo\nthree\n");
    run_until(f, one_line); /* a turn: what came, and what was to be soon */
    assert_string_equal(f->lines, "1:one 1:two ");
    run_until(f, three_lines);
    assert_string_equal(f->lines, "1:one 1:two 1:three ");
    close(fd);
}

/* Whoever pipes a request in and closes its side still gets the answer. */
static void end_of_input_is_answered_before_it_is_closed(void **state)
{
    Fixture *f = *state;
    int fd = dial(f);

    f->echoes = true;
    say(fd, "one\ntwo\n");
    shutdown(fd, SHUT_WR);
    run_until(f, one_closed);
    assert_string_equal(hear(fd), "one\ntwo\n");
    assert_true(is_closed(fd));
    close(fd);
}

static void peer_that_hangs_up_in_work_is_told(void **state)
{
    Fixture *f = *state;
    int fd = dial(f);

    f->keeps = true;
    say(fd, "one\n");
    run_until(f, one_line);
    run_turns(f);
    close(fd);
    run_until(f, one_closed);
    assert_false(line_server_send(f->server, 1, slice_of("late\n"), false));
    line_server_next(f->server, 1);
}

static void line_at_the_bound_is_taken_and_a_longer_one_is_refused(void **state)
{
    Fixture *f = *state;

    for (int extra = 0; extra < 2; extra++) {
        int fd = dial(f);
        char *text = malloc(LINE_SERVER_LINE_BYTES + 2);
        size_t size = LINE_SERVER_LINE_BYTES + (size_t)extra, sent = 0;
        memset(text, 'x', size);
        text[size++] = '\n';
        fcntl(fd, F_SETFL, O_NONBLOCK);
        while (sent < size && f->closed == 0) {
            ssize_t put = send(fd, text + sent, size - sent, MSG_NOSIGNAL);
            if (put > 0) sent += (size_t)put;
            if (put < 0 && errno != EAGAIN) break;
            run_turns(f);
        }
        free(text);
        run_turns(f);
        if (extra == 0) {
            assert_int_equal(f->last_size, LINE_SERVER_LINE_BYTES);
        } else {
            assert_int_equal(f->line_count, 1);
            assert_string_equal(hear(fd), "too long\n");
            assert_true(is_closed(fd));
        }
        close(fd);
        if (extra == 0) run_until(f, one_closed);
        f->closed = 0;
    }
}

static void garbage_without_an_end_is_refused(void **state)
{
    Fixture *f = *state;
    int fd = dial(f);
    char garbage[65536];

    memset(garbage, '\xff', sizeof garbage);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 100 && f->closed == 0; i++) {
        (void)send(fd, garbage, sizeof garbage, MSG_NOSIGNAL);
        run_turns(f);
    }
    assert_string_equal(hear(fd), "too long\n");
    assert_int_equal(f->line_count, 0);
    close(fd);
}

static void too_many_peers_are_turned_away_and_silent_ones_stay(void **state)
{
    Fixture *f = *state;
    int fds[LINE_SERVER_PEERS + 8];

    for (size_t i = 0; i < LINE_SERVER_PEERS + 8; i++) {
        fds[i] = dial(f);
        run_turns(f);
    }
    f->echoes = true;
    for (size_t i = LINE_SERVER_PEERS; i < LINE_SERVER_PEERS + 8; i++) {
        assert_string_equal(hear(fds[i]), "too many\n");
        close(fds[i]);
    }
    say(fds[LINE_SERVER_PEERS - 1], "still here\n");
    run_until(f, one_line);
    run_turns(f);
    assert_string_equal(hear(fds[LINE_SERVER_PEERS - 1]), "still here\n");
    close(fds[0]);
    run_until(f, one_closed);
    fds[0] = dial(f);
    say(fds[0], "came later\n");
    run_turns(f);
    assert_string_equal(hear(fds[0]), "came later\n");
    for (size_t i = 0; i < LINE_SERVER_PEERS; i++) {
        close(fds[i]);
    }
}

static void slow_reader_misses_optional_lines_and_is_closed_for_others(void **state)
{
    Fixture *f = *state;
    int fd = dial(f);
    static char line[65536];
    size_t sent = 0;

    memset(line, 'y', sizeof line);
    line[sizeof line - 1] = '\n';
    f->keeps = true;
    say(fd, "one\n");
    run_until(f, one_line);
    while (sent < 1000 && line_server_send(f->server, 1, slice_make(line, sizeof line), true)) {
        sent++;
        if (sent % 16 == 0) run_turns(f);
    }
    assert_in_range(sent * sizeof line, LINE_SERVER_QUEUE_BYTES - sizeof line, LINE_SERVER_QUEUE_BYTES + (4u << 20));
    assert_int_equal(f->closed, 0);
    assert_false(line_server_send(f->server, 1, slice_make(line, sizeof line), false));
    assert_int_equal(f->closed, 1);
    close(fd);
}

static void what_waits_is_written_as_it_is_read(void **state)
{
    Fixture *f = *state;
    int fd = dial(f);
    static char line[65536];
    static char got[65536];
    size_t total = 100 * sizeof line, heard = 0;

    memset(line, 'z', sizeof line);
    line[sizeof line - 1] = '\n';
    f->keeps = true;
    say(fd, "one\n");
    run_until(f, one_line);
    for (int i = 0; i < 100; i++) {
        assert_true(line_server_send(f->server, 1, slice_make(line, sizeof line), false));
    }
    while (heard < total) {
        ssize_t size = recv(fd, got, sizeof got, MSG_DONTWAIT);
        if (size > 0) {
            for (ssize_t i = 0; i < size; i++) {
                if (got[i] != line[(heard + (size_t)i) % sizeof line]) fail_msg("a byte is wrong at %zu", heard);
            }
            heard += (size_t)size;
        } else {
            run_turns(f);
        }
    }
    assert_int_equal(heard, total);
    close(fd);
}

static void stale_socket_is_replaced_and_a_file_is_not(void **state)
{
    Fixture *f = *state;
    char path[512], problem[1024] = "";

    line_server_free(f->server);
    f->server = NULL;
    int stale = unix_socket_listen(f->folder, NAME, problem, sizeof problem);
    assert_true(stale >= 0);
    close(stale); /* as a process that dies: the name stays */
    assert_int_equal(unix_socket_connect(f->folder, NAME), -1);
    assert_int_equal(errno, ECONNREFUSED);
    f->server = serve(f, f->folder, problem, sizeof problem);
    assert_non_null(f->server);
    close(dial(f));

    line_server_free(f->server);
    f->server = NULL;
    assert_int_equal(unix_socket_connect(f->folder, NAME), -1);
    assert_int_equal(errno, ENOENT);
    snprintf(path, sizeof path, "%s/%s", f->folder, NAME);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_null(serve(f, f->folder, problem, sizeof problem));
    assert_non_null(strstr(problem, "is no socket"));
    unlink(path);
}

static void path_may_be_longer_than_an_address(void **state)
{
    Fixture *f = *state;
    char deep[300], problem[1024] = "";
    struct stat about;

    snprintf(deep, sizeof deep, "%s/%0200d", f->folder, 7);
    assert_int_equal(mkdir(deep, 0700), 0);
    LineServer *server = serve(f, deep, problem, sizeof problem);
    if (!server) fail_msg("%s", problem);
    int fd = unix_socket_connect(deep, NAME);
    assert_true(fd >= 0);
    assert_true(unix_socket_is_ours(fd, NULL));
    say(fd, "far\n");
    run_until(f, one_line);
    char path[512];
    snprintf(path, sizeof path, "%s/%s", deep, NAME);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    line_server_free(server);
    close(fd);
    assert_int_equal(rmdir(deep), 0);
}

static void no_descriptors_left_is_not_an_endless_loop(void **state)
{
    Fixture *f = *state;
    struct rlimit before, few;
    struct rusage start, end;
    int first = dial(f), second = -1;

    run_turns(f);
    second = dial(f);
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    int free_fd = dup(first);
    close(free_fd);
    few.rlim_cur = (rlim_t)free_fd; /* accept gets none */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    getrusage(RUSAGE_SELF, &start);
    LoopTimer timer = {.fire = tick, .context = f};
    loop_timer_set(f->loop, &timer, loop_now_ms(f->loop) + 300);
    loop_run(f->loop);
    getrusage(RUSAGE_SELF, &end);
    setrlimit(RLIMIT_NOFILE, &before);
    int64_t used_us = (int64_t)(end.ru_utime.tv_sec - start.ru_utime.tv_sec) * 1000000 + end.ru_utime.tv_usec -
                      start.ru_utime.tv_usec;
    assert_in_range(used_us, 0, 100000);
    say(second, "at last\n");
    run_until(f, one_line);
    close(first);
    close(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(socket_is_for_its_owner_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_come_in_order_whatever_the_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(one_line_is_in_work_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_of_one_peer_leave_the_loop_to_others_in_between, setup, teardown),
        cmocka_unit_test_setup_teardown(end_of_input_is_answered_before_it_is_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(peer_that_hangs_up_in_work_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(line_at_the_bound_is_taken_and_a_longer_one_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_without_an_end_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_peers_are_turned_away_and_silent_ones_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_reader_misses_optional_lines_and_is_closed_for_others, setup, teardown),
        cmocka_unit_test_setup_teardown(what_waits_is_written_as_it_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(stale_socket_is_replaced_and_a_file_is_not, setup, teardown),
        cmocka_unit_test_setup_teardown(path_may_be_longer_than_an_address, setup, teardown),
        cmocka_unit_test_setup_teardown(no_descriptors_left_is_not_an_endless_loop, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
