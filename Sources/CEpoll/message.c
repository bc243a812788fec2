/* SOCK_SEQPACKET messages that carry descriptors. */
#include "cepoll.h"
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Linux 6.5; newer than the C library's headers. */
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

int cepoll_seqpacket_pair(int ends[2], int buffer_bytes) {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) return -1;
    for (int i = 0; i < 2 && buffer_bytes > 0; i++) cepoll_send_buffer(ends[i], buffer_bytes);
    return 0;
}

void cepoll_send_buffer(int socket, int bytes) {
    if (setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0)
        (void)setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

int cepoll_pass_credentials(int socket) {
    int on = 1;
    return setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
}

static ssize_t send_message(int socket, const struct msghdr *message) {
    ssize_t sent;
    do sent = sendmsg(socket, message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent;
}

/* As many descriptors of this user's are under way as this process may open: the hard limit counts for this message. */
static ssize_t send_above_limit(int socket, const struct msghdr *message) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
            ssize_t sent = send_message(socket, message);
            int error = errno;
            (void)setrlimit(RLIMIT_NOFILE, &limit);
            errno = error;
            return sent;
        }
    }
    errno = ETOOMANYREFS;
    return -1;
}

ssize_t cepoll_send_message(int socket, const void *bytes, size_t length, const int *descriptors,
                            size_t descriptor_count) {
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * CEPOLL_MAX_DESCRIPTORS)];
    } control;
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor_count > CEPOLL_MAX_DESCRIPTORS) {
        errno = EINVAL;
        return -1;
    }
    if (descriptor_count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptor_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * descriptor_count);
        memcpy(CMSG_DATA(header), descriptors, sizeof(int) * descriptor_count);
    }
    ssize_t sent = send_message(socket, &message);
    return sent < 0 && errno == ETOOMANYREFS ? send_above_limit(socket, &message) : sent;
}

int cepoll_receive_message(int socket, void *buffer, size_t capacity, bool wait, cepoll_received *received) {
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * CEPOLL_MAX_DESCRIPTORS) + CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec part = {.iov_base = buffer, .iov_len = capacity};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space,
                             .msg_controllen = sizeof control.space};
    received->descriptor_count = 0;
    received->sender = 0;
    bool was_reset = false;
    for (;;) {
        received->length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
        if (received->length >= 0) break;
        if (errno == EINTR) continue;
        if (errno == ECONNRESET && !was_reset) {    /* the peer left something unread; said once, before what it sent */
            was_reset = true;
            continue;
        }
        if (errno == EAGAIN && wait) {              /* the socket itself is non-blocking */
            if (cepoll_poll_one(socket, CEPOLL_IN, -1) < 0 && errno != EINTR) return -1;
            continue;
        }
        return -1;
    }
    received->truncated = (message.msg_flags & MSG_TRUNC) != 0;
    received->descriptors_lost = (message.msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET) continue;
        if (header->cmsg_type == SCM_RIGHTS) {
            size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < count; i++) {
                int descriptor;
                memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof descriptor);
                if (received->descriptor_count < CEPOLL_MOST_RECEIVED)
                    received->descriptors[received->descriptor_count++] = descriptor;
                else {
                    close(descriptor);
                    received->descriptors_lost = true;
                }
            }
        } else if (header->cmsg_type == SCM_CREDENTIALS) {
            struct ucred credentials;
            memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
            received->sender = credentials.pid;
        } else if (header->cmsg_type == SCM_PIDFD) {
            /* Whoever shares the socket can ask for one with each message (SO_PASSPIDFD). Beside SCM_RIGHTS no other
             * kind of message installs a descriptor; SCM_SECURITY is text, timestamps are numbers. */
            int unwanted;
            memcpy(&unwanted, CMSG_DATA(header), sizeof unwanted);
            if (unwanted >= 0) close(unwanted);     /* negative: why there is none */
        }
    }
    return 0;
}

bool cepoll_holds_message(int socket) {
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t count;
    do count = recvmsg(socket, &message, MSG_PEEK | MSG_DONTWAIT);
    while (count < 0 && errno == EINTR);
    /* No room was offered for descriptors. */
    return count > 0 || (count == 0 && (message.msg_flags & MSG_CTRUNC));
}
