/* envelope.h - SSE2 structural skipper: finds the spans of the top-level members
 * of one JSON object without building anything.  Header only, shared by the
 * fake gateway and by the limit clients.  It trusts nesting, not grammar: the
 * value decoder is what validates. */
#ifndef ENVELOPE_H
#define ENVELOPE_H
#include <emmintrin.h>
#include <stddef.h>
#include <string.h>

typedef struct {
    const char *p;
    size_t n;
} span;
typedef struct {
    span type, event, id, method, payload, params, result, seq, ok, error;
} envelope;

/* p is just after the opening quote; returns the closing quote, or NULL. */
static inline const char *env_string_end(const char *p, const char *e)
{
    const __m128i q = _mm_set1_epi8('"'), b = _mm_set1_epi8('\\');
    for (;;) {
        while (p + 16 <= e) {
            __m128i v = _mm_loadu_si128((const __m128i *)p);
            int m = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, q), _mm_cmpeq_epi8(v, b)));
            if (m) {
                p += __builtin_ctz((unsigned)m);
                goto hit;
            }
            p += 16;
        }
        while (p < e && *p != '"' && *p != '\\')
            p++;
        if (p >= e) return NULL;
    hit:
        if (*p == '"') return p;
        p += 2;
        if (p > e) return NULL;
    }
}

/* p at '{' or '['; returns one past the matching close, or NULL. */
static inline const char *env_container_end(const char *p, const char *e)
{
    const __m128i q = _mm_set1_epi8('"'), o = _mm_set1_epi8('{'), c = _mm_set1_epi8('}'), bit = _mm_set1_epi8(0x20);
    int depth = 0;
    while (p < e) {
        if (p + 16 <= e) {
            __m128i v = _mm_loadu_si128((const __m128i *)p), w = _mm_or_si128(v, bit);
            int m = _mm_movemask_epi8(
                _mm_or_si128(_mm_cmpeq_epi8(v, q), _mm_or_si128(_mm_cmpeq_epi8(w, o), _mm_cmpeq_epi8(w, c))));
            if (!m) {
                p += 16;
                continue;
            }
            p += __builtin_ctz((unsigned)m);
        }
        switch (*p) {
        case '"':
            p = env_string_end(p + 1, e);
            if (!p) return NULL;
            p++;
            break;
        case '{':
        case '[':
            depth++;
            p++;
            break;
        case '}':
        case ']':
            p++;
            if (--depth == 0) return p;
            break;
        default: p++;
        }
    }
    return NULL;
}

static inline const char *env_value_end(const char *p, const char *e)
{
    if (p >= e) return NULL;
    if (*p == '"') {
        p = env_string_end(p + 1, e);
        return p ? p + 1 : NULL;
    }
    if (*p == '{' || *p == '[') return env_container_end(p, e);
    while (p < e && *p != ',' && *p != '}' && *p != ']' && (unsigned char)*p > ' ')
        p++;
    return p;
}

#define ENV_WS(p, e)                                \
    while ((p) < (e) && (unsigned char)*(p) <= ' ') \
    (p)++

/* Calls nothing: steps over one member.  Returns 1 member, 0 end, -1 malformed. */
static inline int env_next(const char **pp, const char *e, span *key, span *val)
{
    const char *p = *pp, *t;
    ENV_WS(p, e);
    if (p < e && (*p == '{' || *p == ',')) {
        p++;
        ENV_WS(p, e);
    }
    if (p >= e) return -1;
    if (*p == '}') return 0;
    if (*p != '"' || !(t = env_string_end(p + 1, e))) return -1;
    key->p = p + 1;
    key->n = (size_t)(t - p - 1);
    p = t + 1;
    ENV_WS(p, e);
    if (p >= e || *p != ':') return -1;
    p++;
    ENV_WS(p, e);
    t = env_value_end(p, e);
    if (!t) return -1;
    val->p = p;
    val->n = (size_t)(t - p);
    if (val->n >= 2 && *p == '"') {
        val->p++;
        val->n -= 2;
    } /* strings: inner bytes */
    *pp = t;
    return 1;
}

static inline int env_is(span s, const char *lit)
{
    return s.n == strlen(lit) && !memcmp(s.p, lit, s.n);
}

static inline int env_scan(const char *p, size_t n, envelope *v)
{
    const char *e = p + n;
    span k, x;
    int r;
    memset(v, 0, sizeof *v);
    while ((r = env_next(&p, e, &k, &x)) == 1) {
        if (env_is(k, "type"))
            v->type = x;
        else if (env_is(k, "event"))
            v->event = x;
        else if (env_is(k, "payload"))
            v->payload = x;
        else if (env_is(k, "seq"))
            v->seq = x;
        else if (env_is(k, "id"))
            v->id = x;
        else if (env_is(k, "method"))
            v->method = x;
        else if (env_is(k, "params"))
            v->params = x;
        else if (env_is(k, "result"))
            v->result = x;
        else if (env_is(k, "ok"))
            v->ok = x;
        else if (env_is(k, "error"))
            v->error = x;
    }
    return r;
}
#endif
