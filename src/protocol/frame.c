/* frame.c - finds the parts of a gateway's frame in one scan, puts the envelope around a request, reads error objects. */
#include "protocol/frame.h"
#include "protocol/json_scan.h"

/* The top-level members of a frame, whichever dialect it is in. */
typedef struct {
    Slice type, id, method, event, payload, params, result, error, ok, seq, state_version;
} Members;

/* Sizes are compared first and the texts have a constant size, so that no function is called. */
#define IS(slice, literal) \
    ((slice).size == sizeof(literal) - 1 && memcmp((slice).data, literal, sizeof(literal) - 1) == 0)

/* Where the member goes; NULL for a key that is none of ours. */
static Slice *member_of(Members *members, Slice key)
{
    if (IS(key, "type")) return &members->type;
    if (IS(key, "event")) return &members->event;
    if (IS(key, "payload")) return &members->payload;
    if (IS(key, "seq")) return &members->seq;
    if (IS(key, "id")) return &members->id;
    if (IS(key, "ok")) return &members->ok;
    if (IS(key, "error")) return &members->error;
    if (IS(key, "method")) return &members->method;
    if (IS(key, "params")) return &members->params;
    if (IS(key, "result")) return &members->result;
    if (IS(key, "stateVersion")) return &members->state_version;
    return NULL;
}

/* The raw text between the quotes; nothing for another type. */
static Slice text_of(Slice value)
{
    if (value.size < 2 || value.data[0] != '"') return (Slice){0};
    return slice_make(value.data + 1, value.size - 2);
}

static Slice id_of(Slice value)
{
    return json_type(value) == JSON_NUMBER ? value : text_of(value);
}

static FrameType type_of(Slice name)
{
    if (IS(name, "event")) return FRAME_EVENT;
    if (IS(name, "res")) return FRAME_RESPONSE;
    if (IS(name, "req")) return FRAME_REQUEST;
    return FRAME_OTHER;
}

static Slice first_present(Slice slice, Slice otherwise)
{
    return slice.size ? slice : otherwise;
}

const char *frame_parse(Slice text, Frame *frame)
{
    Members members = {0};
    Slice key, value;
    JsonCursor cursor = json_cursor(text);
    if (cursor.at == cursor.end || *cursor.at != '{') return "not a JSON object";
    while (json_next_member(&cursor, &key, &value)) {
        Slice *member = member_of(&members, key);
        if (member) *member = value;
    }
    if (cursor.malformed) return "malformed JSON";
    if (json_skip_space(cursor.at, cursor.end) != cursor.end) return "more text behind the JSON object";
    *frame = (Frame){
        .type_name = text_of(members.type),
        .id = id_of(members.id),
        .method = text_of(members.method),
        .event = text_of(members.event),
        .error = json_type(members.error) == JSON_NULL ? (Slice){0} : members.error,
        .state_version = members.state_version,
    };
    if (!frame->type_name.data) return "no frame type";
    frame->type = type_of(frame->type_name);
    frame->ok = members.ok.size ? json_is_true(members.ok) : frame->error.size == 0;
    if (!json_get_int(members.seq, &frame->seq) || frame->seq < 0) frame->seq = -1;

    /* The name of the current dialect is preferred. */
    switch (frame->type) {
    case FRAME_EVENT:
        frame->payload = first_present(members.payload, members.params);
        if (frame->event.size == 0) return "an event without a name";
        break;
    case FRAME_RESPONSE: frame->payload = first_present(members.payload, members.result); break;
    case FRAME_REQUEST: frame->payload = members.params; break;
    case FRAME_OTHER:
        frame->payload = first_present(members.payload, first_present(members.params, members.result));
        break;
    }
    return NULL;
}

void frame_wrap_request(Buffer *params, const char *id, Slice method)
{
    bool has_params = buffer_size(params) > 0;
    Buffer head = buffer_with_headroom(0);
    buffer_append_text(&head, "{\"type\":\"req\"");
    json_write_member_string(&head, "id", id);
    json_write_key(&head, "method");
    json_write_string(&head, method);
    if (has_params) json_write_key(&head, "params");
    if (head.failed) params->failed = true; /* nothing is appended then */
    Slice written = buffer_slice(&head);
    buffer_prepend(params, written.data, written.size);
    buffer_append_char(params, '}');
    buffer_free(&head);
}

void frame_read_error(Slice error, FrameError *out)
{
    *out = (FrameError){.retry_after_ms = -1};
    Slice code = json_find(error, "code"), details = json_find(error, "details");
    if (json_type(code) == JSON_NUMBER) {
        size_t size = code.size < sizeof out->code ? code.size : sizeof out->code - 1;
        memcpy(out->code, code.data, size);
    } else {
        json_copy_string(code, out->code, sizeof out->code);
    }
    json_copy_string(json_find(error, "message"), out->message, sizeof out->message);
    json_copy_string(json_find(details, "code"), out->detail_code, sizeof out->detail_code);
    json_copy_string(json_find(details, "reason"), out->detail_reason, sizeof out->detail_reason);
    json_copy_string(json_find(details, "requestId"), out->request_id, sizeof out->request_id);
    out->retryable = json_is_true(json_find(error, "retryable"));
    out->can_retry_with_device_token = json_is_true(json_find(details, "canRetryWithDeviceToken"));
    if (!json_get_int(json_find(error, "retryAfterMs"), &out->retry_after_ms) || out->retry_after_ms < 0) {
        out->retry_after_ms = -1;
    }
}
