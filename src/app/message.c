/* message.c - see message.h. A message is one block: the struct, then the bytes its slices point into. */
#include "app/message.h"

#include <stdlib.h>

static Message *message_new(MessageKind kind, size_t text_bytes)
{
    Message *message = malloc(sizeof *message + text_bytes);
    if (!message) return NULL;
    *message = (Message){.kind = kind, .size_bytes = sizeof *message + text_bytes, .seq = -1, .last = true};
    atomic_init(&message->references, 1);
    return message;
}

/* Copies `from` to `*at` and moves on behind it. */
static Slice keep(char **at, Slice from)
{
    if (from.size == 0) return (Slice){"", 0};
    Slice kept = {memcpy(*at, from.data, from.size), from.size};
    *at += from.size;
    return kept;
}

Message *message_event(const EventFields *fields)
{
    size_t text_bytes = fields->name.size + fields->payload.size + fields->state_version.size;
    Message *message = message_new(MESSAGE_EVENT, text_bytes);
    if (!message) return NULL;
    char *at = (char *)(message + 1);
    message->name = keep(&at, fields->name);
    message->payload = keep(&at, fields->payload);
    message->state_version = keep(&at, fields->state_version);
    message->seq = fields->seq;
    message->received_ms = fields->received_ms;
    message->connection = fields->connection;
    return message;
}

static Message *message_with_payload(MessageKind kind, Slice payload)
{
    Message *message = message_new(kind, payload.size);
    if (!message) return NULL;
    char *at = (char *)(message + 1);
    message->payload = keep(&at, payload);
    return message;
}

Message *message_response(unsigned generation, uint64_t token, bool ok, bool last, Slice body)
{
    Message *message = message_with_payload(MESSAGE_RESPONSE, body);
    if (!message) return NULL;
    message->generation = generation;
    message->token = token;
    message->ok = ok;
    message->last = last;
    return message;
}

Message *message_connection(Slice info)
{
    return message_with_payload(MESSAGE_CONNECTION, info);
}

Message *message_eval(uint64_t token, Slice code)
{
    Message *message = message_with_payload(MESSAGE_EVAL, code);
    if (message) message->token = token;
    return message;
}

Message *message_retry(uint64_t letter)
{
    Message *message = message_new(MESSAGE_RETRY, 0);
    if (message) message->token = letter;
    return message;
}

Message *message_lane(uint64_t lane)
{
    Message *message = message_new(MESSAGE_LANE, 0);
    if (message) message->token = lane;
    return message;
}

Message *message_stop(void)
{
    return message_new(MESSAGE_STOP, 0);
}

Message *message_copy(const Message *from)
{
    Message *message = message_new(from->kind, from->name.size + from->payload.size + from->state_version.size);
    if (!message) return NULL;
    char *at = (char *)(message + 1);
    message->name = keep(&at, from->name);
    message->payload = keep(&at, from->payload);
    message->state_version = keep(&at, from->state_version);
    message->seq = from->seq;
    message->received_ms = from->received_ms;
    message->connection = from->connection;
    message->token = from->token;
    message->generation = from->generation;
    message->ok = from->ok;
    message->last = from->last;
    return message;
}

Message *message_ref(Message *message)
{
    atomic_fetch_add_explicit(&message->references, 1, memory_order_relaxed);
    return message;
}

void message_unref(Message *message)
{
    if (!message) return;
    if (atomic_fetch_sub_explicit(&message->references, 1, memory_order_acq_rel) == 1) free(message);
}
