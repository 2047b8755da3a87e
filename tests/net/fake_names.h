/* fake_names.h - getaddrinfo as a test wants it: included once by a test program, it takes the place of the C library's.
 *
 * 127.0.0.2_--1.test has the addresses 127.0.0.2 and ::1, nobody.test none, and slow.test waits for `slow_names` before it has none. All
 * other names are the system's. */
#ifndef TESTS_NET_FAKE_NAMES_H
#define TESTS_NET_FAKE_NAMES_H

#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

static sem_t slow_names;

typedef int Getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found);

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the C library's names are reserved ones */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    Getaddrinfo *real;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    size_t size = host ? strlen(host) : 0;
    if (size < 5 || strcmp(host + size - 5, ".test") != 0) return real(host, service, hints, found);
    if (hints->ai_flags & AI_NUMERICHOST) return EAI_NONAME;
    if (strcmp(host, "slow.test") == 0) sem_wait(&slow_names);
    if (strcmp(host, "slow.test") == 0 || strcmp(host, "nobody.test") == 0) return EAI_NONAME;

    /* glibc frees a list node by node, so that lists may be joined. */
    char names[256];
    char *rest = NULL;
    struct addrinfo **end = found;
    snprintf(names, sizeof names, "%.*s", (int)(size - 5), host);
    for (char *c = names; *c; c++)
        *c = *c == '-' ? ':' : *c;
    for (char *name = strtok_r(names, "_", &rest); name; name = strtok_r(NULL, "_", &rest)) {
        int error = real(name, service, hints, end);
        if (error) return error;
        end = &(*end)->ai_next;
    }
    return 0;
}

#endif
