/* The accept queue of a listening Unix socket: only sock_diag(7) knows it. */
#include "cepoll.h"
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int cepoll_diag_socket(void) {
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
}

/* The reply to one question: 1 if it is the queue of `inode`, 0 if another message, -1 with errno. */
static int read_reply(const struct nlmsghdr *header, size_t length, ino_t inode, unsigned *queued, unsigned *limit) {
    if (length < sizeof *header || header->nlmsg_len > length) {
        errno = EPROTO;
        return -1;
    }
    if (header->nlmsg_type == NLMSG_ERROR) {
        const struct nlmsgerr *error = NLMSG_DATA(header);
        errno = header->nlmsg_len >= NLMSG_LENGTH(sizeof *error) && error->error < 0 ? -error->error : EPROTO;
        return -1;
    }
    const struct unix_diag_msg *found = NLMSG_DATA(header);
    if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || header->nlmsg_len < NLMSG_LENGTH(sizeof *found) ||
        found->udiag_ino != (unsigned)inode)
        return 0;
    const struct rtattr *attribute = (const struct rtattr *)(found + 1);
    size_t left = header->nlmsg_len - NLMSG_LENGTH(sizeof *found);
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        struct unix_diag_rqlen lengths;
        if (attribute->rta_type != UNIX_DIAG_RQLEN || RTA_PAYLOAD(attribute) < sizeof lengths) continue;
        memcpy(&lengths, RTA_DATA(attribute), sizeof lengths);
        *queued = lengths.udiag_rqueue;
        *limit = lengths.udiag_wqueue;
        return 1;
    }
    errno = ENODATA;
    return -1;
}

int cepoll_unix_queue(int diag, int listener, unsigned *queued, unsigned *limit) {
    struct stat info;
    if (fstat(listener, &info) < 0) return -1;
    struct {
        struct nlmsghdr header;
        struct unix_diag_req question;
    } request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
        .question = {.sdiag_family = AF_UNIX,
                     .udiag_ino = (unsigned)info.st_ino,
                     .udiag_show = UDIAG_SHOW_RQLEN,
                     .udiag_cookie = {~0u, ~0u}},
    };
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    if (sendto(diag, &request, sizeof request, MSG_DONTWAIT, (const struct sockaddr *)&kernel, sizeof kernel) < 0)
        return -1;
    /* The kernel has answered when sendto returns; what an interrupted question left is passed over. */
    for (int attempt = 0; attempt < 8; attempt++) {
        _Alignas(struct nlmsghdr) char buffer[1024];
        struct sockaddr_nl sender = {0};
        socklen_t sender_length = sizeof sender;
        ssize_t length = recvfrom(diag, buffer, sizeof buffer, MSG_DONTWAIT, (struct sockaddr *)&sender, &sender_length);
        if (length < 0 && errno == EINTR) continue;
        if (length < 0) return -1;
        if (sender.nl_pid != 0) continue;
        int result = read_reply((const struct nlmsghdr *)buffer, (size_t)length, info.st_ino, queued, limit);
        if (result != 0) return result < 0 ? -1 : 0;
    }
    errno = EPROTO;
    return -1;
}
