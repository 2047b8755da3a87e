/* unix_socket.c - see unix_socket.h. An address holds 107 bytes; a longer path is reached through /proc/self/fd/N, where N is
 * the open folder, so that nobody has to change the working directory of the process. */
#define _GNU_SOURCE /* struct ucred, O_PATH */
#include "net/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

/* `*folder_fd` has to stay open until the address was used; -1: it needs none. False with an errno. */
static bool find_address(const char *folder, const char *name, struct sockaddr_un *address, int *folder_fd)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    *folder_fd = -1;
    int size = snprintf(address->sun_path, sizeof address->sun_path, "%s/%s", folder, name);
    if (size > 0 && (size_t)size < sizeof address->sun_path) return true;

    *folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*folder_fd < 0) return false;
    size = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", *folder_fd, name);
    if (size > 0 && (size_t)size < sizeof address->sun_path) return true;
    close(*folder_fd);
    errno = ENAMETOOLONG;
    return false;
}

/* What a dead process left behind. Anything but a socket stays. False with an errno. */
static bool remove_stale(const char *path)
{
    struct stat about;

    if (lstat(path, &about) != 0) return errno == ENOENT;
    if (!S_ISSOCK(about.st_mode)) {
        errno = EEXIST;
        return false;
    }
    return unlink(path) == 0 || errno == ENOENT;
}

int unix_socket_listen(const char *folder, const char *name, char *problem, size_t problem_size)
{
    struct sockaddr_un address;
    int folder_fd = -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || !find_address(folder, name, &address, &folder_fd)) goto failed;
    /* Of a socket without a name, fchmod says with which mode bind makes the name: umask would be the whole process's. */
    if (!remove_stale(address.sun_path) || fchmod(fd, S_IRUSR | S_IWUSR) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || chmod(address.sun_path, S_IRUSR | S_IWUSR) != 0 ||
        listen(fd, BACKLOG) != 0) {
        goto failed;
    }
    if (folder_fd >= 0) close(folder_fd);
    return fd;

failed:
    if (errno == EEXIST) {
        (void)snprintf(problem, problem_size, "%s/%s is no socket; move it away, a socket belongs there", folder, name);
    } else {
        (void)snprintf(problem, problem_size,
                       "the socket %s/%s cannot be made: %s; the state folder may have to be in another place", folder,
                       name, strerror(errno));
    }
    if (folder_fd >= 0) close(folder_fd);
    if (fd >= 0) close(fd);
    return -1;
}

int unix_socket_connect(const char *folder, const char *name)
{
    struct sockaddr_un address;
    int folder_fd = -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) return -1;
    bool connected = find_address(folder, name, &address, &folder_fd) &&
                     connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    int error = errno;
    if (folder_fd >= 0) close(folder_fd);
    if (connected) return fd;
    close(fd);
    errno = error;
    return -1;
}

bool unix_socket_is_ours(int fd, pid_t *pid)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    if (pid) *pid = peer.pid;
    return peer.uid == geteuid() || peer.uid == 0 || geteuid() == 0;
}
