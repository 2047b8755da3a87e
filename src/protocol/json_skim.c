/* json_skim.c - steps over members and elements of a JSON text without reading the values: see json.h on what it trusts. */
#include "protocol/json_scan.h"

/* Containers are skipped a block at a time: one bit for each of its bytes tells quotes, backslashes and brackets. A block
 * begins outside of strings, so a running exclusive-or over the quote bits tells which bytes are inside of one. A string that
 * does not end in its block is left by json_close_quote, which is faster on long texts, and the next block begins behind it. */
#define BLOCK_SIZE 64

typedef struct {
    uint64_t quotes, backslashes, brackets;
} BlockBits;

#ifdef __SSE2__
static BlockBits scan_block(const char *block)
{
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    /* '[' and '{', ']' and '}' differ in this bit. */
    const __m128i fold = _mm_set1_epi8('{' ^ '['), open = _mm_set1_epi8('{'), close = _mm_set1_epi8('}');
    BlockBits bits = {0};
    for (unsigned i = 0; i < BLOCK_SIZE; i += JSON_VECTOR) {
        __m128i bytes = json_load(block + i), folded = _mm_or_si128(bytes, fold);
        __m128i brackets = _mm_or_si128(_mm_cmpeq_epi8(folded, open), _mm_cmpeq_epi8(folded, close));
        bits.quotes |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, quote)) << i;
        bits.backslashes |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, backslash)) << i;
        bits.brackets |= (uint64_t)(unsigned)_mm_movemask_epi8(brackets) << i;
    }
    return bits;
}
#else
static BlockBits scan_block(const char *block)
{
    BlockBits bits = {0};
    for (unsigned i = 0; i < BLOCK_SIZE; i++) {
        char folded = block[i] | ('{' ^ '[');
        bits.quotes |= (uint64_t)(block[i] == '"') << i;
        bits.backslashes |= (uint64_t)(block[i] == '\\') << i;
        bits.brackets |= (uint64_t)(folded == '{' || folded == '}') << i;
    }
    return bits;
}
#endif

/* Takes the quotes away that stand behind a backslash which is not itself escaped. */
static uint64_t without_escaped(uint64_t quotes, uint64_t backslashes)
{
    while (backslashes) {
        uint64_t escaped = (backslashes & -backslashes) << 1;
        quotes &= ~escaped;
        backslashes &= backslashes - 1;
        backslashes &= ~escaped;
    }
    return quotes;
}

/* Bit i of the result is the exclusive-or of the bits 0 to i. */
static uint64_t running_xor(uint64_t bits)
{
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    return bits ^ bits << 32;
}

/* `at` is the opening bracket; returns what follows the one that closes it, NULL if none does. Kinds of brackets are not
 * told apart. */
static const char *skip_container(const char *at, const char *end)
{
    size_t depth = 0;
    while (at < end) {
        const char *block = at;
        char last[BLOCK_SIZE];
        if (end - at < BLOCK_SIZE) {
            memset(last, 0, sizeof last);
            block = memcpy(last, at, (size_t)(end - at));
        }
        BlockBits bits = scan_block(block);
        uint64_t quotes = without_escaped(bits.quotes, bits.backslashes);
        uint64_t inside = running_xor(quotes);
        for (uint64_t rest = bits.brackets & ~inside; rest; rest &= rest - 1) {
            const char *bracket = at + __builtin_ctzll(rest);
            if (*bracket == '{' || *bracket == '[') {
                depth++;
            } else if (--depth == 0) {
                return bracket + 1;
            }
        }
        if (inside >> (BLOCK_SIZE - 1)) {
            const char *text = at + BLOCK_SIZE - __builtin_clzll(quotes); /* behind the last quote */
            at = json_close_quote(text, end);
            if (!at) return NULL;
            at++;
        } else {
            at += end - at < BLOCK_SIZE ? end - at : BLOCK_SIZE;
        }
    }
    return NULL;
}

static bool ends_scalar(char c)
{
    return c == ',' || c == '}' || c == ']' || (unsigned char)c <= ' ';
}

/* Returns what follows the value at `at`, NULL if there is none or it does not end. */
static const char *skip_value(const char *at, const char *end)
{
    if (at == end) return NULL;
    const char *start = at;
    switch (*at) {
    case '"': at = json_close_quote(at + 1, end); return at ? at + 1 : NULL;
    case '{':
    case '[': return skip_container(at, end);
    default:
        while (at < end && !ends_scalar(*at)) {
            at++;
        }
        return at > start ? at : NULL;
    }
}

JsonType json_type(Slice value)
{
    if (value.size == 0) return JSON_NONE;
    switch (value.data[0]) {
    case 'n': return JSON_NULL;
    case 'f': return JSON_FALSE;
    case 't': return JSON_TRUE;
    case '"': return JSON_STRING;
    case '[': return JSON_ARRAY;
    case '{': return JSON_OBJECT;
    case '-': return JSON_NUMBER;
    default: return value.data[0] >= '0' && value.data[0] <= '9' ? JSON_NUMBER : JSON_NONE;
    }
}

/* A cursor stands on the separator in front of the next item: the opening bracket or a comma; after the last item on the
 * closing bracket, and when that was seen, behind it. For a value that is no container it stands at the end. */
JsonCursor json_cursor(Slice container)
{
    if (container.size == 0) return (JsonCursor){"", "", false};
    const char *end = container.data + container.size;
    const char *at = json_skip_space(container.data, end);
    bool is_container = at < end && (*at == '{' || *at == '[');
    return (JsonCursor){is_container ? at : end, end, false};
}

/* Steps over the separator to the next item; false if there is none. */
static bool next_item(JsonCursor *cursor, char open, char close)
{
    const char *at = cursor->at;
    if (at == cursor->end || cursor->malformed) return false;
    bool first = *at == open;
    if (first || *at == ',') {
        at = json_skip_space(at + 1, cursor->end);
        cursor->at = at;
        if (at < cursor->end && *at != close) return true;
        cursor->malformed = at == cursor->end || !first; /* a comma promised one more */
    } else if (*at != close) {
        return false; /* the other type of container: it has no such items */
    }
    if (!cursor->malformed) cursor->at++;
    return false;
}

/* Takes the value at `at` and moves on to the separator behind it. */
static bool take_value(JsonCursor *cursor, const char *at, char close, Slice *value)
{
    const char *behind = skip_value(at, cursor->end);
    if (behind) {
        *value = slice_make(at, (size_t)(behind - at));
        cursor->at = json_skip_space(behind, cursor->end);
        if (cursor->at < cursor->end && (*cursor->at == ',' || *cursor->at == close)) return true;
    }
    cursor->malformed = true;
    return false;
}

bool json_next_member(JsonCursor *cursor, Slice *key, Slice *value)
{
    if (!next_item(cursor, '{', '}')) return false;
    const char *name = cursor->at + 1, *end = cursor->end;
    const char *quote = *cursor->at == '"' ? json_close_quote(name, end) : NULL;
    const char *colon = quote ? json_skip_space(quote + 1, end) : end;
    if (colon == end || *colon != ':') {
        cursor->malformed = true;
        return false;
    }
    *key = slice_make(name, (size_t)(quote - name));
    return take_value(cursor, json_skip_space(colon + 1, end), '}', value);
}

bool json_next_element(JsonCursor *cursor, Slice *value)
{
    return next_item(cursor, '[', ']') && take_value(cursor, cursor->at, ']', value);
}

Slice json_find(Slice object, const char *key)
{
    Slice wanted = slice_of(key), found = {0}, name, value;
    JsonCursor cursor = json_cursor(object);
    while (json_next_member(&cursor, &name, &value)) {
        if (slice_equals(name, wanted)) found = value;
    }
    return found;
}
