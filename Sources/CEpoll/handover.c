/* Files and connections that go from a worker to the master. */
#include "cepoll.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

enum { ALL_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

int cepoll_sealable_memory(const char *name) { return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING); }

int cepoll_seal(int file) { return fcntl(file, F_ADD_SEALS, ALL_SEALS); }

int64_t cepoll_sealed_size(int file) {
    struct stat info;
    int seals = fcntl(file, F_GET_SEALS);
    if (seals < 0) return -1;
    if ((seals & ALL_SEALS) != ALL_SEALS) {
        errno = EPERM;
        return -1;
    }
    return fstat(file, &info) < 0 ? -1 : (int64_t)info.st_size;
}

int cepoll_take_descriptor(int pidfd, int number) { return (int)syscall(SYS_pidfd_getfd, pidfd, number, 0); }

bool cepoll_peer_is_gone(int socket, bool is_tcp) {
    /* A Unix socket tells a peer that has closed from one that only sends no more; TCP does not. */
    struct pollfd one = {.fd = socket, .events = is_tcp ? POLLRDHUP : 0};
    return poll(&one, 1, 0) > 0 && (one.revents & (POLLHUP | POLLERR | POLLRDHUP)) != 0;
}
