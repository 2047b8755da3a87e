/* fuzz_ws_handshake.c - an answer that comes in parts is decided once: MORE until then, and the same from then on.
 *
 * Input: the lowest bit of the first byte chooses between upgrade and CONNECT, the rest is what the peer sends. The key is
 * that of RFC 6455, section 1.3, so that seeds can carry the right Sec-WebSocket-Accept. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "protocol/utf8.h"
#include "protocol/ws_handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEPS 64

static void check(bool holds)
{
    if (!holds) abort();
}

/* From an allocation of exactly that size, so that the sanitizer sees a read beyond it. */
static WsHandshakeResult read_answer(bool is_proxy, Slice bytes, bool ended, WsHandshakeAnswer *answer)
{
    char *copy = malloc(bytes.size ? bytes.size : 1);
    Slice received = slice_make(copy, bytes.size);
    WsHandshakeResult result;

    check(copy != NULL);
    if (bytes.size > 0) memcpy(copy, bytes.data, bytes.size);
    result = is_proxy ? ws_handshake_read_proxy(received, ended, answer)
                      : ws_handshake_read(received, "dGhlIHNhbXBsZSBub25jZQ==", ended, answer);
    free(copy);

    check(answer->used_bytes <= bytes.size && answer->used_bytes <= WS_HANDSHAKE_MAX_BYTES);
    check(answer->retry_after_ms >= -1);
    if (result == WS_HANDSHAKE_DONE) check(is_proxy ? answer->status / 100 == 2 : answer->status == 101);
    if (result == WS_HANDSHAKE_REFUSED) {
        check(answer->message[0] != '\0' && utf8_valid(slice_of(answer->message)));
        for (const char *c = answer->message; *c; c++)
            check((uint8_t)*c >= ' ' && *c != 0x7F);
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    WsHandshakeAnswer whole, part;
    WsHandshakeResult result;
    bool is_proxy, is_decided = false;
    Slice bytes;

    if (size < 1) return 0;
    is_proxy = data[0] & 1;
    bytes = slice_make((const char *)data + 1, size - 1);
    result = read_answer(is_proxy, bytes, false, &whole);
    for (size_t part_size = 0; part_size < bytes.size; part_size += 1 + bytes.size / STEPS) {
        WsHandshakeResult part_result = read_answer(is_proxy, slice_make(bytes.data, part_size), false, &part);

        if (part_result == WS_HANDSHAKE_MORE) {
            check(!is_decided);
            continue;
        }
        is_decided = true;
        check(part_result == result && part.status == whole.status && part.used_bytes == whole.used_bytes);
        check(part_result == WS_HANDSHAKE_DONE || slice_is(slice_of(part.message), whole.message));
    }
    if (result == WS_HANDSHAKE_MORE) check(read_answer(is_proxy, bytes, true, &whole) == WS_HANDSHAKE_REFUSED);
    return 0;
}
