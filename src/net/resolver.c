/* resolver.c - one name look-up, on a helper thread since getaddrinfo blocks.
 *
 * The thread shares nothing with the loop but a Lookup and a pipe: it fills the answer in and closes its end of the pipe, which
 * the loop sees. Whoever of the two is last frees the Lookup; so a cancelled look-up may outlive the link and the loop. */
#define _GNU_SOURCE /* pipe2 */
#include "net/resolver.h"

#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESOLVER_STACK_BYTES (512 * 1024) /* what NSS modules need, with room to spare */

typedef struct {
    atomic_int owners;
    atomic_bool answered; /* orders what is below between the two threads; the pipe only wakes */
    int done_fd;          /* the thread's end of the pipe */
    char host[256];
    unsigned port;
    AddressList addresses;
    char problem[256];
} Lookup;

struct Resolver {
    Loop *loop;
    LoopWatch *watch;
    Lookup *lookup;
    ResolverDone *done;
    void *context;
};

static void lookup_release(Lookup *lookup)
{
    if (atomic_fetch_sub(&lookup->owners, 1) == 1) free(lookup);
}

static const char *explain(int error)
{
    switch (error) {
    case EAI_NONAME: return "there is no such host name";
    case EAI_AGAIN: return "the name server does not answer; is the network up?";
    case EAI_MEMORY: return "out of memory";
    case EAI_FAIL: return "the name server refused to answer";
    default: return gai_strerror(error);
    }
}

static void *look_up(void *context)
{
    Lookup *lookup = context;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char service[16];
    snprintf(service, sizeof service, "%u", lookup->port);
    int error = getaddrinfo(lookup->host, service, &hints, &found);
    if (error == 0) {
        for (struct addrinfo *at = found; at; at = at->ai_next)
            address_list_add(&lookup->addresses, at->ai_addr, at->ai_addrlen);
        freeaddrinfo(found);
    }
    if (lookup->addresses.count == 0)
        snprintf(lookup->problem, sizeof lookup->problem, "%s", explain(error ? error : EAI_NONAME));
    atomic_store_explicit(&lookup->answered, true, memory_order_release);
    close(lookup->done_fd);
    lookup_release(lookup);
    return NULL;
}

static void on_done(void *context)
{
    Resolver *resolver = context;
    Lookup *lookup = resolver->lookup;
    if (!atomic_load_explicit(&lookup->answered, memory_order_acquire)) return;
    ResolverDone *done = resolver->done;
    void *done_context = resolver->context;
    loop_unwatch(resolver->watch);
    free(resolver);
    done(done_context, &lookup->addresses, lookup->problem);
    lookup_release(lookup);
}

/* Signals are for the I/O thread; a detached thread, since nobody waits for one that hangs. */
static bool start_thread(Lookup *lookup)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, RESOLVER_STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, &attributes, look_up, lookup);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

Resolver *resolver_start(Loop *loop, const char *host, unsigned port, ResolverDone *done, void *context)
{
    int pipe_fds[2] = {-1, -1};
    Resolver *resolver = calloc(1, sizeof *resolver);
    Lookup *lookup = calloc(1, sizeof *lookup);
    if (!resolver || !lookup || strlen(host) >= sizeof lookup->host || pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0)
        goto failed;
    *resolver = (Resolver){.loop = loop, .lookup = lookup, .done = done, .context = context};
    atomic_init(&lookup->owners, 2);
    lookup->done_fd = pipe_fds[1];
    lookup->port = port;
    snprintf(lookup->host, sizeof lookup->host, "%s", host);
    resolver->watch = loop_watch(loop, pipe_fds[0], on_done, NULL, resolver);
    if (!resolver->watch) goto failed;
    pipe_fds[0] = -1; /* the watch's now */
    if (!start_thread(lookup)) goto failed;
    return resolver;

failed:
    if (resolver) loop_unwatch(resolver->watch);
    if (pipe_fds[0] >= 0) close(pipe_fds[0]);
    if (pipe_fds[1] >= 0) close(pipe_fds[1]);
    free(lookup);
    free(resolver);
    return NULL;
}

void resolver_cancel(Resolver *resolver)
{
    if (!resolver) return;
    loop_unwatch(resolver->watch);
    lookup_release(resolver->lookup);
    free(resolver);
}
