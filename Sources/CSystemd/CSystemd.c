#include "csystemd.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* As much as libsystemd asks for: a burst of log lines outlasts a moment in which journald does not read. */
#define SEND_BUFFER (8 << 20)

int csystemd_socket(void) {
    int handle = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (handle < 0) return -1;
    int size = SEND_BUFFER;
    if (setsockopt(handle, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
        (void)setsockopt(handle, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return handle;
}

static bool fill(struct sockaddr_un *address, socklen_t *length, const char *path) {
    size_t count = strlen(path);
    if (count < 2 || count >= sizeof address->sun_path || (path[0] != '/' && path[0] != '@')) {
        errno = EINVAL;
        return false;
    }
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, count);
    if (path[0] == '@') address->sun_path[0] = 0;
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + count + (path[0] == '@' ? 0 : 1));
    return true;
}

int csystemd_connect(const char *path) {
    struct sockaddr_un address;
    socklen_t length;
    if (!fill(&address, &length, path)) return -1;
    int handle = csystemd_socket();
    if (handle < 0) return -1;
    if (connect(handle, (struct sockaddr *)&address, length) == 0) return handle;
    int saved = errno;
    close(handle);
    errno = saved;
    return -1;
}

int csystemd_reconnect(int socket, const char *path) {
    struct sockaddr_un address;
    socklen_t length;
    return fill(&address, &length, path) ? connect(socket, (struct sockaddr *)&address, length) : -1;
}

int csystemd_send(int socket, const char *path, const void *bytes, size_t count, int descriptor) {
    struct sockaddr_un address;
    struct msghdr message = {0};
    if (path) {
        socklen_t length;
        if (!fill(&address, &length, path)) return -1;
        message.msg_name = &address;
        message.msg_namelen = length;
    }
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
    if (count > 0) {
        message.msg_iov = &part;
        message.msg_iovlen = 1;
    }
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    if (descriptor >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    ssize_t sent;
    do sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -1 : 0;
}

int csystemd_is_journal_stream(int number, const char *stream) {
    struct stat info;
    char text[64];
    if (fstat(number, &info) < 0) return 0;
    snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)info.st_dev, (unsigned long long)info.st_ino);
    return strcmp(text, stream) == 0;
}
