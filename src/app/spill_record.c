/* spill_record.c - see spill_record.h. A record is the head, then name, state version and payload. */
#include "app/spill_record.h"

#include "protocol/hash.h"

#define MAGIC 0x6c6c6970536c7547u /* "GulSpill" */

typedef struct {
    uint64_t magic;
    uint64_t check; /* hash of the head with 0 in here, combined with the hash of the texts */
    uint64_t name_bytes, state_version_bytes, payload_bytes;
    uint64_t token;
    int64_t seq, received_ms;
    uint32_t connection, generation;
    uint32_t kind, ok, last, unused; /* no hole in the struct: all of it is checked */
} Head;

/* Changes with any bit of it: each step of the hash is one to one. */
static uint64_t check_of(Head head, Slice texts)
{
    head.check = 0;
    return hash_of_number(hash_of_slice(slice_make((const char *)&head, sizeof head)) ^ hash_of_slice(texts));
}

size_t spill_record_size(const Message *message)
{
    return sizeof(Head) + message->name.size + message->state_version.size + message->payload.size;
}

void spill_record_append(const Message *message, Buffer *out)
{
    Head head = {
        .magic = MAGIC,
        .name_bytes = message->name.size,
        .state_version_bytes = message->state_version.size,
        .payload_bytes = message->payload.size,
        .token = message->token,
        .seq = message->seq,
        .received_ms = message->received_ms,
        .connection = message->connection,
        .generation = message->generation,
        .kind = message->kind,
        .ok = message->ok,
        .last = message->last,
    };
    size_t size = spill_record_size(message);
    if (!buffer_reserve(out, size)) return;
    size_t start = out->end;
    buffer_append(out, (const char *)&head, sizeof head);
    buffer_append_slice(out, message->name);
    buffer_append_slice(out, message->state_version);
    buffer_append_slice(out, message->payload);
    head.check = check_of(head, slice_make(out->base + start + sizeof head, size - sizeof head));
    memcpy(out->base + start, &head, sizeof head);
}

static Message *message_of(const Head *head, const char *texts)
{
    Slice name = slice_make(texts, (size_t)head->name_bytes);
    Slice state_version = slice_make(name.data + name.size, (size_t)head->state_version_bytes);
    Message fields = {
        .kind = (MessageKind)head->kind,
        .name = name,
        .payload = slice_make(state_version.data + state_version.size, (size_t)head->payload_bytes),
        .state_version = state_version,
        .seq = head->seq,
        .received_ms = head->received_ms,
        .connection = head->connection,
        .token = head->token,
        .generation = head->generation,
        .ok = head->ok != 0,
        .last = head->last != 0,
    };
    return message_copy(&fields);
}

SpillRecordResult spill_record_read(Slice bytes, size_t *record_bytes, Message **message)
{
    Head head;
    *record_bytes = sizeof head;
    if (bytes.size < sizeof head) return SPILL_RECORD_CUT;
    memcpy(&head, bytes.data, sizeof head);
    const uint64_t most = SIZE_MAX / 8; /* of each: their sum does not overflow */
    if (head.magic != MAGIC || head.name_bytes > most || head.state_version_bytes > most || head.payload_bytes > most)
        return SPILL_RECORD_BROKEN;

    size_t text_bytes = (size_t)(head.name_bytes + head.state_version_bytes + head.payload_bytes);
    *record_bytes = sizeof head + text_bytes;
    if (bytes.size < *record_bytes) return SPILL_RECORD_CUT;
    if (head.check != check_of(head, slice_make(bytes.data + sizeof head, text_bytes))) return SPILL_RECORD_BROKEN;
    *message = message_of(&head, bytes.data + sizeof head);
    return *message ? SPILL_RECORD_READ : SPILL_RECORD_NO_MEMORY;
}
