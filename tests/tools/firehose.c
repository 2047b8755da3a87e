/* firehose - fake OpenClaw gateway used as a load generator (127.0.0.1 only).
 * One blocking thread per connection, own server-side WebSocket framing.
 *   firehose PORT            results go to stdout, one JSON object per line
 * Methods: connect, bench.start{count,size,kind,dialect}, bench.done{n,sum,...},
 * bench.report{...} (printed as is), number.start{count,rate}, anything else -> ok.
 * dialect "legacy": event bodies are carried in `params` (what an older Go client
 * reads) instead of `payload`; responses always carry both `payload` and `result`. */
#define _GNU_SOURCE
#include "envelope.h"
#include "events.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#define RING 256
#define BATCH (384u << 10)

typedef struct {
    int fd;
    char *in;
    size_t have, cap;
    char *out;
    size_t olen, ocap;
    unsigned seq;
    double t0;
    uint64_t want_sum, bytes;
    unsigned count, size;
    char kind[16], label[64];
    span keep;
} conn;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k < 0) {
            if (errno == EINTR) continue;
            return -1;
        }
        p += k;
        n -= (size_t)k;
    }
    return 0;
}
static size_t ws_head(unsigned char *h, int op, size_t n)
{
    h[0] = (unsigned char)(0x80 | op);
    if (n < 126) {
        h[1] = (unsigned char)n;
        return 2;
    }
    if (n < 65536) {
        h[1] = 126;
        h[2] = (unsigned char)(n >> 8);
        h[3] = (unsigned char)n;
        return 4;
    }
    h[1] = 127;
    for (int i = 0; i < 8; i++)
        h[2 + i] = (unsigned char)(n >> (56 - 8 * i));
    return 10;
}
static void put(conn *c, int op, const char *p, size_t n)
{
    if (c->olen + n + 16 > c->ocap) {
        c->ocap = (c->olen + n + 16) * 2;
        c->out = realloc(c->out, c->ocap);
    }
    c->olen += ws_head((unsigned char *)c->out + c->olen, op, n);
    memcpy(c->out + c->olen, p, n);
    c->olen += n;
}
static int flush(conn *c)
{
    int r = send_all(c->fd, c->out, c->olen);
    c->olen = 0;
    return r;
}

static span sub(span obj, const char *key)
{
    const char *p = obj.p;
    span k, v;
    while (obj.p && env_next(&p, obj.p + obj.n, &k, &v) == 1)
        if (env_is(k, key)) return v;
    return (span){0};
}
static uint64_t subn(span obj, const char *key)
{
    span v = sub(obj, key);
    return v.p ? (uint64_t)strtod(v.p, NULL) : 0;
}
static void subs(span obj, const char *key, char *to, size_t cap, const char *dflt)
{
    span v = sub(obj, key);
    if (v.p)
        snprintf(to, cap, "%.*s", (int)v.n, v.p);
    else
        snprintf(to, cap, "%s", dflt);
}

static int blast(conn *c, span params)
{
    char dialect[16];
    c->count = (unsigned)subn(params, "count");
    c->size = (unsigned)subn(params, "size");
    subs(params, "kind", c->kind, sizeof c->kind, "agent");
    subs(params, "label", c->label, sizeof c->label, "?");
    subs(params, "dialect", dialect, sizeof dialect, "v4");
    const char *key = !strcmp(dialect, "legacy") ? "params" : "payload";
    /* Batch of prebuilt frames; only the two 7-digit sequence fields change. */
    size_t per = c->size + 64, nb = BATCH / per;
    if (nb < 4) nb = 4;
    nb &= ~(size_t)3;
    if (nb > c->count) nb = c->count;
    char *buf = malloc(nb * (per + 1024));
    size_t len = 0;
    size_t *sa = calloc(nb, sizeof *sa), *sb = calloc(nb, sizeof *sb), *end = calloc(nb, sizeof *end);
    unsigned *add = calloc(nb, sizeof *add);
    for (size_t i = 0; i < nb; i++) {
        event v = ev_build(c->size, c->kind, key, (unsigned)i);
        len += ws_head((unsigned char *)buf + len, 1, v.n);
        sa[i] = len + v.seq_a;
        sb[i] = len + v.seq_b;
        memcpy(buf + len, v.p, v.n);
        len += v.n;
        end[i] = len;
        add[i] = v.text_len + v.run0;
        free(v.p);
    }
    c->want_sum = 0;
    c->bytes = 0;
    c->t0 = now();
    int rc = 0;
    for (unsigned left = c->count; left && !rc;) {
        size_t m = left < nb ? left : nb;
        for (size_t i = 0; i < m; i++) {
            ev_seq(buf + sa[i], c->seq % 9000000 + EV_SEQ0);
            ev_seq(buf + sb[i], c->seq % 9000000 + EV_SEQ0);
            c->seq++;
            c->want_sum += add[i];
        }
        rc = send_all(c->fd, buf, end[m - 1]);
        c->bytes += end[m - 1];
        left -= (unsigned)m;
    }
    char msg[256];
    int n = snprintf(msg, sizeof msg, "{\"type\":\"event\",\"event\":\"bench.end\",\"%s\":{\"count\":%u},\"seq\":%u}",
                     key, c->count, c->seq % 9000000 + EV_SEQ0);
    c->seq++;
    put(c, 1, msg, (size_t)n);
    free(buf);
    free(sa);
    free(sb);
    free(end);
    free(add);
    return rc ? rc : flush(c);
}

/* Small events numbered from 1: `rate` a second in steps of a fifth of a millisecond, 0: as fast as they are taken. */
static int number(conn *c, span params)
{
    uint64_t count = subn(params, "count"), rate = subn(params, "rate");
    uint64_t step = rate ? (rate + 4999) / 5000 : 500;
    double start = now();
    char msg[160];
    for (uint64_t n = 1; n <= count;) {
        for (uint64_t i = 0; i < step && n <= count; i++, n++) {
            int k = snprintf(msg, sizeof msg,
                             "{\"type\":\"event\",\"event\":\"number\",\"payload\":{\"n\":%llu},\"seq\":%llu}",
                             (unsigned long long)n, (unsigned long long)++c->seq);
            put(c, 1, msg, (size_t)k);
        }
        if (flush(c)) return -1;
        double ahead = rate ? start + (double)n / (double)rate - now() : 0;
        if (ahead > 0) {
            struct timespec rest = {.tv_sec = (time_t)ahead, .tv_nsec = (long)((ahead - (double)(time_t)ahead) * 1e9)};
            nanosleep(&rest, NULL);
        }
    }
    int k = snprintf(msg, sizeof msg,
                     "{\"type\":\"event\",\"event\":\"number.end\",\"payload\":{\"secs\":%.6f},\"seq\":%llu}",
                     now() - start, (unsigned long long)++c->seq);
    put(c, 1, msg, (size_t)k);
    return flush(c);
}

static int on_req(conn *c, const char *p, size_t n)
{
    envelope v;
    if (env_scan(p, n, &v) < 0 || !v.id.p) return 0;
    char m[1024];
    int k;
    if (env_is(v.method, "connect")) {
#define HELLO                                                                                                          \
    "{\"type\":\"hello-ok\",\"protocol\":4,\"connId\":\"c1\",\"server\":{\"version\":\"2026.9.1\",\"connId\":\"c1\"}," \
    "\"features\":{\"methods\":[\"echo\",\"bench.start\",\"bench.done\"],\"events\":[\"agent\",\"bench.end\"]},"       \
    "\"snapshot\":{\"presence\":[],\"health\":{},\"stateVersion\":{\"presence\":0,\"health\":0},\"uptimeMs\":1},"      \
    "\"auth\":{\"role\":\"operator\",\"scopes\":[\"operator.read\"]},"                                                 \
    "\"policy\":{\"maxPayload\":26214400,\"maxBufferedBytes\":52428800,\"tickIntervalMs\":3600000}}"
        char *big = malloc(4096);
        k = snprintf(big, 4096,
                     "{\"type\":\"res\",\"id\":\"%.*s\",\"ok\":true,\"payload\":" HELLO ",\"result\":" HELLO "}",
                     (int)v.id.n, v.id.p);
        put(c, 1, big, (size_t)k);
        free(big);
        return 0;
    }
    k = snprintf(m, sizeof m,
                 "{\"type\":\"res\",\"id\":\"%.*s\",\"ok\":true,\"payload\":{\"ok\":true},\"result\":{\"ok\":true}}",
                 (int)v.id.n, v.id.p);
    if (env_is(v.method, "bench.done")) {
        double dt = now() - c->t0;
        uint64_t nn = subn(v.params, "n"), sum = subn(v.params, "sum");
        int touched = (int)subn(v.params, "touched") || sum;
        printf("{\"t\":\"ev\",\"label\":\"%s\",\"size\":%u,\"kind\":\"%s\",\"count\":%u,\"secs\":%.6f,\"ev_s\":%.0f,"
               "\"mb_s\":%.1f,\"ok\":%s,\"client\":%.*s}\n",
               c->label, c->size, c->kind, c->count, dt, c->count / dt, (double)c->bytes / dt / 1e6,
               nn == c->count && (!touched || sum == c->want_sum) ? "true" : "false", (int)v.params.n, v.params.p);
        fflush(stdout);
    } else if (env_is(v.method, "bench.report")) {
        printf("%.*s\n", (int)v.params.n, v.params.p);
        fflush(stdout);
    }
    put(c, 1, m, (size_t)k);
    if (env_is(v.method, "bench.start")) {
        if (flush(c)) return -1;
        return blast(c, v.params);
    }
    if (env_is(v.method, "number.start")) return flush(c) ? -1 : number(c, v.params);
    return 0;
}

static int fill(conn *c)
{
    if (c->have == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 65536;
        c->in = realloc(c->in, c->cap + 64);
    }
    ssize_t k = recv(c->fd, c->in + c->have, c->cap - c->have, 0);
    if (k <= 0) return -1;
    c->have += (size_t)k;
    return 0;
}

static void *serve(void *arg)
{
    conn *c = calloc(1, sizeof *c);
    c->fd = (int)(intptr_t)arg;
    char *hdr = NULL, *k, acc[64], txt[512];
    unsigned char sha[20];
    do {
        if (fill(c)) goto out;
        c->in[c->have] = 0;
    } while (!(hdr = strstr(c->in, "\r\n\r\n")));
    if (!(k = strcasestr(c->in, "sec-websocket-key:"))) goto out;
    k += 18;
    while (*k == ' ')
        k++;
    size_t kl = strcspn(k, "\r\n");
    int n = snprintf(txt, sizeof txt, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)kl, k);
    SHA1((unsigned char *)txt, (size_t)n, sha);
    EVP_EncodeBlock((unsigned char *)acc, sha, 20);
    n = snprintf(txt, sizeof txt,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
                 "Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                 acc);
    if (send_all(c->fd, txt, (size_t)n)) goto out;
    size_t used = (size_t)(hdr + 4 - c->in);
    memmove(c->in, c->in + used, c->have - used);
    c->have -= used;
    n = snprintf(txt, sizeof txt,
                 "{\"type\":\"event\",\"event\":\"connect.challenge\",\"payload\":{\"nonce\":\"n-1\",\"ts\":"
                 "1737264000000},\"params\":{\"nonce\":\"n-1\",\"ts\":1737264000000}}");
    put(c, 1, txt, (size_t)n);
    if (flush(c)) goto out;
    for (;;) {
        size_t at = 0;
        for (;;) {
            if (c->have - at < 6) break;
            unsigned char *f = (unsigned char *)c->in + at;
            size_t h = 2, len = f[1] & 127;
            if (len == 126) {
                len = (size_t)f[2] << 8 | f[3];
                h = 4;
            } else if (len == 127) {
                if (c->have - at < 10) break;
                len = 0;
                for (int i = 0; i < 8; i++)
                    len = len << 8 | f[2 + i];
                h = 10;
            }
            if (!(f[1] & 128)) goto out;
            if (c->have - at < h + 4 + len) break;
            unsigned char *mk = f + h, *d = f + h + 4;
            int op = f[0] & 15;
            for (size_t i = 0; i < len; i++)
                d[i] ^= mk[i & 3];
            at += h + 4 + len;
            if (op == 8) {
                put(c, 8, (char *)d, len < 2 ? 0 : 2);
                flush(c);
                goto out;
            }
            if (op == 9)
                put(c, 10, (char *)d, len);
            else if (op == 1 && on_req(c, (char *)d, len))
                goto out;
        }
        memmove(c->in, c->in + at, c->have - at);
        c->have -= at;
        if (c->olen && flush(c)) goto out;
        if (fill(c)) goto out;
    }
out:
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
    return NULL;
}

int main(int argc, char **argv)
{
    long port = argc > 1 ? strtol(argv[1], NULL, 10) : 18789;
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    signal(SIGPIPE, SIG_IGN);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 64)) {
        perror("firehose");
        return 1;
    }
    for (;;) {
        int fd = accept(s, NULL, NULL);
        pthread_t t;
        if (fd < 0) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        pthread_create(&t, NULL, serve, (void *)(intptr_t)fd);
        pthread_detach(t);
    }
}
