/* utf8.c - UTF-8 validation by the table of well-formed byte sequences (Unicode 15, table 3-7).
 *
 * Only the first byte of a character decides what its second may be, and all later ones are 80..BF. So a state inside a
 * character is what is still expected: how many bytes, and from where to where the next one may lie:
 *
 *     bits 16..17 count (1 to 3) | bits 8..15 lowest | bits 0..7 highest
 *
 * Runs of ASCII are skipped 64 bytes at a time. */
#include "protocol/utf8.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define EXPECT(count, lowest, highest) ((uint32_t)(count) << 16 | (uint32_t)(lowest) << 8 | (uint32_t)(highest))

static uint32_t state_after_first(uint8_t byte)
{
    if (byte < 0x80) return UTF8_ACCEPT;
    if (byte < 0xC2) return UTF8_REJECT; /* a continuation, or an overlong form of ASCII */
    if (byte < 0xE0) return EXPECT(1, 0x80, 0xBF);
    if (byte == 0xE0) return EXPECT(2, 0xA0, 0xBF); /* below: overlong */
    if (byte == 0xED) return EXPECT(2, 0x80, 0x9F); /* above: surrogates */
    if (byte < 0xF0) return EXPECT(2, 0x80, 0xBF);
    if (byte == 0xF0) return EXPECT(3, 0x90, 0xBF); /* below: overlong */
    if (byte < 0xF4) return EXPECT(3, 0x80, 0xBF);
    if (byte == 0xF4) return EXPECT(3, 0x80, 0x8F); /* above: beyond U+10FFFF */
    return UTF8_REJECT;
}

static uint32_t state_after_next(uint32_t state, uint8_t byte)
{
    uint32_t count = state >> 16;

    if (byte < (state >> 8 & 0xFF) || byte > (state & 0xFF)) return UTF8_REJECT;
    return count == 1 ? UTF8_ACCEPT : EXPECT(count - 1, 0x80, 0xBF);
}

/* The first byte from `at` on that is not ASCII, or `end`. */
#ifdef __SSE2__
static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 64) {
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(at + 16));
        __m128i c = _mm_loadu_si128((const __m128i *)(const void *)(at + 32));
        __m128i d = _mm_loadu_si128((const __m128i *)(const void *)(at + 48));

        if (_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d)))) break;
        at += 64;
    }
    while (end - at >= 16) {
        int high_bits = _mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)at));

        if (high_bits) return at + __builtin_ctz((unsigned)high_bits);
        at += 16;
    }
    while (at < end && *at < 0x80)
        at++;
    return at;
}
#else
static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
    const uint64_t high_bits = 0x8080808080808080u;

    while (end - at >= 16) {
        uint64_t words[2];

        memcpy(words, at, sizeof words);
        if ((words[0] | words[1]) & high_bits) break;
        at += 16;
    }
    while (at < end && *at < 0x80)
        at++;
    return at;
}
#endif

uint32_t utf8_check(uint32_t state, Slice bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.data;
    const uint8_t *end = at + bytes.size;

    if (bytes.size == 0) return state;
    while (at < end && state != UTF8_REJECT) {
        if (state != UTF8_ACCEPT) {
            state = state_after_next(state, *at++);
        } else if (*at >= 0x80) {
            state = state_after_first(*at++);
        } else {
            at = skip_ascii(at, end);
        }
    }
    return state;
}

size_t utf8_prefix(Slice text, size_t limit)
{
    size_t size = limit;

    if (text.size <= limit) return text.size;
    while (size > 0 && ((uint8_t)text.data[size] & 0xC0) == 0x80)
        size--;
    return size;
}
