/* test_frame.c - the parts of frames in three dialects, requests around their params, error objects; recorded frames throughout. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "frame_fixtures.h"
#include "protocol/frame.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Parses a copy with nothing readable behind it, which stays until the next call; slices of the frame point into it. */
static const char *parse(const char *text, Frame *frame)
{
    static char *copy;
    size_t size = strlen(text);
    free(copy);
    copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    return frame_parse(slice_make(copy, size), frame);
}

static void assert_parses(const char *text, Frame *frame)
{
    const char *problem = parse(text, frame);
    if (problem) fail_msg("%s: %s", text, problem);
}

static void assert_slice(Slice slice, const char *expected)
{
    if (!slice_is(slice, expected)) fail_msg("%.*s is not %s", SLICE_ARGS(slice), expected);
}

static void events_of_the_current_dialect(void **state)
{
    Frame frame;
    (void)state;
    assert_parses("{\"type\":\"event\",\"event\":\"presence\",\"payload\":{\"a\":[1]},\"seq\":7,\"stateVersion\":{"
                  "\"presence\":3,\"health\":1}}",
                  &frame);
    assert_int_equal(frame.type, FRAME_EVENT);
    assert_slice(frame.type_name, "event");
    assert_slice(frame.event, "presence");
    assert_slice(frame.payload, "{\"a\":[1]}");
    assert_slice(frame.state_version, "{\"presence\":3,\"health\":1}");
    assert_int_equal(frame.seq, 7);
    assert_int_equal(frame.id.size + frame.method.size + frame.error.size, 0);
}

static void responses_of_the_current_dialect(void **state)
{
    Frame frame;
    (void)state;
    assert_parses("{\"type\":\"res\",\"id\":\"abc\",\"ok\":true,\"payload\":{\"status\":\"accepted\"}}", &frame);
    assert_int_equal(frame.type, FRAME_RESPONSE);
    assert_slice(frame.id, "abc");
    assert_true(frame.ok);
    assert_slice(frame.payload, "{\"status\":\"accepted\"}");
    assert_parses("{\"type\":\"res\",\"id\":\"abc\",\"ok\":false,\"error\":{\"code\":\"NOT_PAIRED\"}}", &frame);
    assert_false(frame.ok);
    assert_slice(frame.error, "{\"code\":\"NOT_PAIRED\"}");
    assert_int_equal(frame.payload.size, 0);
    assert_parses("{\"type\":\"res\",\"id\":\"abc\",\"ok\":true,\"error\":null}", &frame);
    assert_true(frame.ok);
    assert_int_equal(frame.error.size, 0);
    assert_parses("{\"type\":\"res\",\"id\":12,\"ok\":\"true\"}", &frame);
    assert_slice(frame.id, "12");
    assert_false(frame.ok);
    assert_parses("{\"type\":\"res\",\"ok\":true}", &frame);
    assert_int_equal(frame.id.size, 0);
}

static void the_legacy_dialect(void **state)
{
    Frame frame;
    (void)state;
    assert_parses("{\"type\":\"event\",\"event\":\"agent\",\"params\":{\"x\":1}}", &frame);
    assert_slice(frame.payload, "{\"x\":1}");
    assert_int_equal(frame.seq, -1);
    assert_parses(
        "{\"type\":\"res\",\"id\":\"1\",\"result\":{\"connId\":\"c\",\"features\":{\"methods\":[],\"events\":[]}}}",
        &frame);
    assert_true(frame.ok);
    assert_slice(frame.payload, "{\"connId\":\"c\",\"features\":{\"methods\":[],\"events\":[]}}");
    assert_parses("{\"type\":\"res\",\"id\":\"1\",\"result\":null,\"error\":null}", &frame);
    assert_true(frame.ok);
    assert_slice(frame.payload, "null");
    assert_parses("{\"type\":\"res\",\"id\":\"1\",\"error\":{\"code\":-32601,\"message\":\"no\"}}", &frame);
    assert_false(frame.ok);
    /* Both at once: the current one counts. */
    assert_parses("{\"params\":1,\"payload\":2,\"type\":\"event\",\"event\":\"e\"}", &frame);
    assert_slice(frame.payload, "2");
}

static void requests(void **state)
{
    Frame frame;
    (void)state;
    assert_parses("{\"type\":\"req\",\"id\":\"r\",\"method\":\"chat.send\",\"params\":{\"a\":1}}", &frame);
    assert_int_equal(frame.type, FRAME_REQUEST);
    assert_slice(frame.method, "chat.send");
    assert_slice(frame.payload, "{\"a\":1}");
    assert_parses("{\"type\":\"req\",\"id\":\"r\",\"method\":\"health\"}", &frame);
    assert_int_equal(frame.payload.size, 0);
}

static void order_white_space_unknown_and_repeated_keys(void **state)
{
    Frame frame;
    (void)state;
    assert_parses("  {\n\"seq\" : 9 , \"payload\" : [ ] "
                  ",\t\"unknown\":{\"type\":\"res\",\"seq\":1},\"event\":\"a\\u0062\\\"\",\"type\":\"event\" }\r\n ",
                  &frame);
    assert_int_equal(frame.type, FRAME_EVENT);
    assert_slice(frame.event, "a\\u0062\\\"");
    assert_slice(frame.payload, "[ ]");
    assert_int_equal(frame.seq, 9);
    assert_parses("{\"type\":\"res\",\"type\":\"event\",\"event\":\"a\",\"event\":\"b\",\"seq\":1,\"seq\":2}", &frame);
    assert_int_equal(frame.type, FRAME_EVENT);
    assert_slice(frame.event, "b");
    assert_int_equal(frame.seq, 2);
}

static void other_types_are_handed_on(void **state)
{
    Frame frame;
    (void)state;
    assert_parses("{\"type\":\"hello\",\"payload\":1}", &frame);
    assert_int_equal(frame.type, FRAME_OTHER);
    assert_slice(frame.type_name, "hello");
    assert_slice(frame.payload, "1");
    assert_parses("{\"type\":\"\"}", &frame);
    assert_int_equal(frame.type, FRAME_OTHER);
}

static void sequence_numbers_that_are_none(void **state)
{
    static const char *const values[] = {
        "null", "\"5\"", "1.5",   "-1",      "-9223372036854775808", "99999999999999999999", "true",
        "[1]",  "{}",    "1e400", "nonsense"};
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        char text[128];
        Frame frame;
        snprintf(text, sizeof text, "{\"type\":\"event\",\"event\":\"a\",\"seq\":%s}", values[i]);
        assert_parses(text, &frame);
        assert_int_equal(frame.seq, -1);
    }
}

static void texts_that_are_no_frame(void **state)
{
    static const char *const texts[][2] = {
        {"", "not a JSON object"},
        {" ", "not a JSON object"},
        {"null", "not a JSON object"},
        {"[]", "not a JSON object"},
        {"hello", "not a JSON object"},
        {"\"{}\"", "not a JSON object"},
        {"{}", "no frame type"},
        {"{\"type\":5}", "no frame type"},
        {"{\"type\":null}", "no frame type"},
        {"{\"type\":\"event\"}", "an event without a name"},
        {"{\"type\":\"event\",\"event\":7}", "an event without a name"},
        {"{\"type\":\"event\",\"event\":\"\"}", "an event without a name"},
        {"{\"type\":\"event\",\"event\":\"a\"", "malformed JSON"},
        {"{\"type\":\"event\",\"event\":\"a\",}", "malformed JSON"},
        {"{\"type\":\"event\" \"event\":\"a\"}", "malformed JSON"},
        {"{\"type\":\"event\",\"event\":\"a\",\"payload\":{}", "malformed JSON"},
        {"{type:\"event\"}", "malformed JSON"},
        {"{\"type\":\"event\",\"event\":\"a\"} x", "more text behind the JSON object"},
        {"{\"type\":\"res\"}{}", "more text behind the JSON object"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        Frame frame;
        const char *problem = parse(texts[i][0], &frame);
        if (!problem) fail_msg("taken as a frame: %s", texts[i][0]);
        assert_string_equal(problem, texts[i][1]);
    }
    Frame frame;
    assert_string_equal(frame_parse((Slice){0}, &frame), "not a JSON object");
}

/* --- the recordings --------------------------------------------------------------------------------------------------------- */

typedef struct {
    size_t events, responses, requests, refusals;
    int64_t last_seq; /* of the connection, protocol 4 */
} Tally;

static void parse_recorded(const FixtureLine *line, void *context)
{
    Tally *tally = context;
    Frame frame;
    if (slice_is(line->direction, "upgrade")) tally->last_seq = -1;
    if (line->frame.size == 0 || line->is_text) return;
    if (!json_validate(line->frame, NULL)) fail_msg("%s:%zu: not valid JSON", line->file, line->number);
    const char *problem = frame_parse(line->frame, &frame);
    if (problem && slice_is(line->direction, "send")) return; /* to see what the gateway says to it */
    if (problem) fail_msg("%s:%zu: %s", line->file, line->number, problem);
    assert_true(frame.payload.size == 0 || json_validate(frame.payload, NULL));
    assert_true(
        slice_equals(frame.payload, json_find(line->frame, frame.type == FRAME_REQUEST ? "params" : "payload")));
    switch (frame.type) {
    case FRAME_EVENT:
        tally->events++;
        if (strstr(line->file, "/v4-") && frame.seq >= 0) {
            if (tally->last_seq >= 0 && frame.seq != tally->last_seq + 1) {
                fail_msg("%s:%zu: a gap in seq, where none was recorded", line->file, line->number);
            }
            tally->last_seq = frame.seq;
        }
        break;
    case FRAME_RESPONSE:
        tally->responses++;
        tally->refusals += !frame.ok;
        assert_true(frame.id.size > 0);
        assert_int_equal(frame.ok, frame.error.size == 0);
        if (!frame.ok) {
            FrameError error;
            frame_read_error(frame.error, &error);
            assert_true(error.code[0] && error.message[0]);
        }
        break;
    case FRAME_REQUEST: tally->requests++; break;
    case FRAME_OTHER: fail_msg("%s:%zu: type %.*s", line->file, line->number, SLICE_ARGS(frame.type_name));
    }
}

static void recorded_frames_parse(void **state)
{
    Tally tally = {.last_seq = -1};
    (void)state;
    assert_true(fixture_frames("*", parse_recorded, &tally) > 200);
    assert_true(tally.events > 100 && tally.responses > 50 && tally.requests > 50 && tally.refusals > 20);
}

/* Cut anywhere, a frame is no frame, and nothing behind the cut is read. */
static void cut_recorded(const FixtureLine *line, void *context)
{
    size_t *cuts = context;
    if (line->frame.size == 0 || line->is_text || line->frame.size > 4000) return;
    for (size_t size = 0; size < line->frame.size; size += 1 + line->frame.size / 97) {
        Frame frame;
        char *copy = malloc(size ? size : 1);
        assert_non_null(copy);
        memcpy(copy, line->frame.data, size);
        if (!frame_parse(slice_make(copy, size), &frame))
            fail_msg("%s:%zu parses after %zu bytes", line->file, line->number, size);
        free(copy);
        ++*cuts;
    }
}

static void recorded_frames_cut_anywhere_do_not_parse(void **state)
{
    size_t cuts = 0;
    (void)state;
    fixture_frames("*", cut_recorded, &cuts);
    assert_true(cuts > 10000);
}

/* --- writing ----------------------------------------------------------------------------------------------------------------- */

static void requests_are_written_around_their_params(void **state)
{
    Buffer params = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
    (void)state;
    buffer_append_text(&params, "{\"a\":1}");
    const char *before = buffer_slice(&params).data;
    frame_wrap_request(&params, "6a1f", slice_of("chat.send"));
    assert_slice(buffer_slice(&params),
                 "{\"type\":\"req\",\"id\":\"6a1f\",\"method\":\"chat.send\",\"params\":{\"a\":1}}");
    assert_ptr_equal(strstr(before, "{\"a\":1}"), before); /* the params did not move */
    buffer_free(&params);

    params = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
    frame_wrap_request(&params, "1", slice_of("health"));
    assert_slice(buffer_slice(&params), "{\"type\":\"req\",\"id\":\"1\",\"method\":\"health\"}");
    buffer_free(&params);

    params = buffer_with_headroom(0);
    buffer_append_text(&params, "{}");
    frame_wrap_request(&params, "1", slice_of("a\"b\n\xff"));
    assert_slice(buffer_slice(&params),
                 "{\"type\":\"req\",\"id\":\"1\",\"method\":\"a\\\"b\\n\xEF\xBF\xBD\",\"params\":{}}");
    buffer_free(&params);
}

static void written_requests_read_back(void **state)
{
    (void)state;
    for (size_t size = 0; size < 600; size += 37) { /* beyond the headroom too */
        Buffer method = buffer_with_headroom(0), params = buffer_with_headroom(BUFFER_FRAME_HEADROOM);
        buffer_append_char(&method, 'm');
        for (size_t i = 0; i < size; i++) {
            buffer_append_char(&method, (char)('a' + i % 26));
        }
        buffer_append_text(&params, "{\"list\":[1,2,3]}");
        frame_wrap_request(&params, "0c7f4b1e-1111-4222-8333-444455556666", buffer_slice(&method));
        Frame frame;
        assert_null(frame_parse(buffer_slice(&params), &frame));
        assert_int_equal(frame.type, FRAME_REQUEST);
        assert_slice(frame.id, "0c7f4b1e-1111-4222-8333-444455556666");
        assert_true(slice_equals(frame.method, buffer_slice(&method)));
        assert_slice(frame.payload, "{\"list\":[1,2,3]}");
        buffer_free(&method);
        buffer_free(&params);
    }
}

/* --- errors ------------------------------------------------------------------------------------------------------------------ */

static void errors_of_the_current_dialect(void **state)
{
    FrameError error;
    (void)state;
    frame_read_error(slice_of("{\"code\":\"NOT_PAIRED\",\"message\":\"pairing "
                              "\\u0022required\\u0022\",\"retryable\":true,\"retryAfterMs\":500,"
                              "\"details\":{\"code\":\"PAIRING_REQUIRED\",\"reason\":\"not-paired\",\"requestId\":\"r-"
                              "1\",\"canRetryWithDeviceToken\":true}}"),
                     &error);
    assert_string_equal(error.code, "NOT_PAIRED");
    assert_string_equal(error.message, "pairing \"required\"");
    assert_string_equal(error.detail_code, "PAIRING_REQUIRED");
    assert_string_equal(error.detail_reason, "not-paired");
    assert_string_equal(error.request_id, "r-1");
    assert_true(error.retryable && error.can_retry_with_device_token);
    assert_int_equal(error.retry_after_ms, 500);
}

static void errors_of_the_legacy_dialect(void **state)
{
    FrameError error;
    (void)state;
    frame_read_error(slice_of("{\"code\":-32601,\"message\":\"unknown method\"}"), &error);
    assert_string_equal(error.code, "-32601");
    assert_string_equal(error.message, "unknown method");
    assert_string_equal(error.detail_code, "");
    assert_false(error.retryable || error.can_retry_with_device_token);
    assert_int_equal(error.retry_after_ms, -1);
}

static void odd_errors_are_cut_or_left_out(void **state)
{
    static const char *const texts[] = {
        "",       "null", "5", "\"text\"", "[]", "{}", "{\"code\":null,\"message\":{},\"details\":[1],\"retryable\":1}",
        "{\"code"};
    FrameError error;
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        frame_read_error(slice_of(texts[i]), &error);
        assert_string_equal(error.code, "");
        assert_string_equal(error.message, "");
        assert_int_equal(error.retry_after_ms, -1);
        assert_false(error.retryable);
    }
    frame_read_error(slice_of("{\"retryAfterMs\":-5}"), &error);
    assert_int_equal(error.retry_after_ms, -1);

    Buffer text = buffer_with_headroom(0);
    buffer_append_text(&text, "{\"code\":\"C");
    for (int i = 0; i < 1000; i++) {
        buffer_append_text(&text, "\xC3\xA9");
    }
    buffer_append_text(&text, "\",\"details\":{\"code\":\"D\"}}");
    frame_read_error(buffer_slice(&text), &error);
    assert_int_equal(strlen(error.code), sizeof error.code - 1);
    assert_string_equal(error.detail_code, "D");
    buffer_free(&text);

    text = buffer_with_headroom(0);
    buffer_append_text(&text, "{\"code\":1");
    for (int i = 0; i < 1000; i++) {
        buffer_append_char(&text, '0');
    }
    buffer_append_char(&text, '}');
    frame_read_error(buffer_slice(&text), &error);
    assert_int_equal(strlen(error.code), sizeof error.code - 1);
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_of_the_current_dialect),
        cmocka_unit_test(responses_of_the_current_dialect),
        cmocka_unit_test(the_legacy_dialect),
        cmocka_unit_test(requests),
        cmocka_unit_test(order_white_space_unknown_and_repeated_keys),
        cmocka_unit_test(other_types_are_handed_on),
        cmocka_unit_test(sequence_numbers_that_are_none),
        cmocka_unit_test(texts_that_are_no_frame),
        cmocka_unit_test(recorded_frames_parse),
        cmocka_unit_test(recorded_frames_cut_anywhere_do_not_parse),
        cmocka_unit_test(requests_are_written_around_their_params),
        cmocka_unit_test(written_requests_read_back),
        cmocka_unit_test(errors_of_the_current_dialect),
        cmocka_unit_test(errors_of_the_legacy_dialect),
        cmocka_unit_test(odd_errors_are_cut_or_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
