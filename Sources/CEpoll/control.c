/* The control socket: who is at the other end. */
#include "cepoll.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int cepoll_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -1;
    *pid = credentials.pid;
    *uid = credentials.uid;
    *gid = credentials.gid;
    return 0;
}

bool cepoll_peer_in_group(int socket, gid_t group) {
    pid_t pid;
    uid_t uid;
    gid_t primary;
    if (cepoll_peer_credentials(socket, &pid, &uid, &primary) == 0 && primary == group) return true;
    socklen_t length = 0;
    /* The first call says how many there are. */
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, NULL, &length) == 0 || errno != ERANGE) return false;
    gid_t *groups = malloc(length);
    bool found = false;
    if (groups && getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &length) == 0) {
        for (size_t i = 0; i < length / sizeof *groups; i++) found = found || groups[i] == group;
    }
    free(groups);
    return found;
}

int cepoll_connect_unix(const char *path, size_t path_length) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path_length == 0 || path_length >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, path_length);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return -1;
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0) return descriptor;
    int saved = errno;
    close(descriptor);
    errno = saved;
    return -1;
}
