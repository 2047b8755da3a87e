/* base64url.c - base64url without padding (RFC 4648, section 5), declared in identity.h. */
#include "protocol/identity.h"

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_encode(const uint8_t *bytes, size_t size, char *out)
{
    uint32_t bits = 0;
    unsigned held = 0; /* of `bits`, those not written yet */
    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | bytes[i];
        for (held += 8; held >= 6; held -= 6)
            *out++ = ALPHABET[bits >> (held - 6) & 63];
    }
    if (held > 0) *out++ = ALPHABET[bits << (6 - held) & 63];
    *out = '\0';
}

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '-') return 62;
    if (c == '_') return 63;
    return -1;
}

int base64url_decode(Slice text, uint8_t *out, size_t room)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t size = 0;
    if (text.size % 4 == 1) return -1; /* six bits are no byte */
    for (size_t i = 0; i < text.size; i++) {
        int value = digit_value(text.data[i]);
        if (value < 0) return -1;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held < 8) continue;
        if (size == room || size == INT32_MAX) return -1;
        held -= 8;
        out[size++] = (uint8_t)(bits >> held & 0xff);
    }
    /* One text for each value: what is left over must be zero. */
    return (bits & ((1u << held) - 1)) == 0 ? (int)size : -1;
}
