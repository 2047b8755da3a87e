/* fuzz_frame.c - a frame's parts lie in its text, whatever it is; and a request that is written reads back. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "protocol/frame.h"
#include "protocol/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) abort();
}

static void check_part(Slice part, Slice whole)
{
    if (part.data) check(part.data >= whole.data && part.data + part.size <= whole.data + whole.size);
}

static void check_ended(const char *text, size_t size)
{
    check(memchr(text, '\0', size) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Slice text = slice_make((const char *)data, size);
    Frame frame;
    if (!frame_parse(text, &frame)) {
        const Slice parts[] = {frame.type_name, frame.id,    frame.method,       frame.event,
                               frame.payload,   frame.error, frame.state_version};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            check_part(parts[i], text);
        }
        check(frame.seq >= -1);
        check(frame.type != FRAME_EVENT || frame.event.size > 0);
        FrameError error;
        frame_read_error(frame.error, &error);
        check_ended(error.code, sizeof error.code);
        check_ended(error.message, sizeof error.message);
        check_ended(error.detail_code, sizeof error.detail_code);
        check_ended(error.detail_reason, sizeof error.detail_reason);
        check_ended(error.request_id, sizeof error.request_id);
        check(error.retry_after_ms >= -1);
    }

    /* The input as a method's name. */
    Buffer params = buffer_with_headroom(BUFFER_FRAME_HEADROOM), method = buffer_with_headroom(0);
    buffer_append_text(&params, "{\"a\":[]}");
    frame_wrap_request(&params, "1", text);
    check(json_validate(buffer_slice(&params), NULL));
    check(!frame_parse(buffer_slice(&params), &frame) && frame.type == FRAME_REQUEST &&
          slice_is(frame.payload, "{\"a\":[]}"));
    check(json_get_string(json_find(buffer_slice(&params), "method"), &method));
    if (utf8_valid(text)) check(slice_equals(buffer_slice(&method), text));
    buffer_free(&params);
    buffer_free(&method);
    return 0;
}
