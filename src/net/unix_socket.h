/* unix_socket.h - a stream socket with a name in a folder, as control.sock in the state folder: for its owner alone. */
#ifndef GATEHOUSE_NET_UNIX_SOCKET_H
#define GATEHOUSE_NET_UNIX_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Listens on `folder`/`name`: mode 0600, non-blocking. A socket that is there is replaced: whoever calls this knows that its
 * owner is dead. Paths may be longer than an address can hold. Returns a descriptor; -1 with a sentence in `problem`. */
int unix_socket_listen(const char *folder, const char *name, char *problem, size_t problem_size);

/* Connects to it; blocking. Returns a descriptor; -1 and an errno: ENOENT and ECONNREFUSED mean that nobody listens there. */
int unix_socket_connect(const char *folder, const char *name);

/* Whether the other end of a connection belongs to this process's user or to root, or this process to root; and its process id
 * (0 if it is not known here), unless `pid` is NULL. */
bool unix_socket_is_ours(int fd, pid_t *pid);

#endif
