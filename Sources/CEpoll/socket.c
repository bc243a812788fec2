/* Listening sockets and addresses. */
#include "cepoll.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void from_sockaddr(const struct sockaddr_storage *storage, cepoll_address *address) {
    memset(address, 0, sizeof *address);
    if (storage->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)storage;
        memcpy(address->bytes, &v4->sin_addr, 4);
        address->port = ntohs(v4->sin_port);
        address->family = 4;
    } else if (storage->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)storage;
        memcpy(address->bytes, &v6->sin6_addr, 16);
        address->port = ntohs(v6->sin6_port);
        address->family = 6;
    }
}

static socklen_t to_sockaddr(const cepoll_address *address, struct sockaddr_storage *storage) {
    memset(storage, 0, sizeof *storage);
    if (address->family == 6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)storage;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(address->port);
        memcpy(&v6->sin6_addr, address->bytes, 16);
        return sizeof *v6;
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)storage;
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address->port);
    memcpy(&v4->sin_addr, address->bytes, 4);
    return sizeof *v4;
}

static int close_with_errno(int descriptor) {
    int saved = errno;
    close(descriptor);
    errno = saved;
    return -1;
}

int cepoll_accept(int listener, cepoll_address *peer) {
    struct sockaddr_storage storage = {0};
    for (;;) {
        socklen_t length = sizeof storage;
        int descriptor = accept4(listener, peer ? (struct sockaddr *)&storage : NULL, peer ? &length : NULL,
                                 SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (descriptor >= 0) {
            if (peer) from_sockaddr(&storage, peer);
            return descriptor;
        }
        if (errno != EINTR && errno != ECONNABORTED) return -1;
    }
}

/* ---- what somebody hostile could make wait ---- */

static void on_alarm(int number) { (void)number; }

/* Of this thread: the signal must reach whoever waits. */
static __thread struct {
    timer_t timer;
    bool is_made;
    unsigned depth;         /* of calls of cepoll_bound_waiting that have not been taken back */
} alarm_clock;

/* A fork has no timers. */
static void forget_alarm(void) {
    alarm_clock.is_made = false;
    alarm_clock.depth = 0;
}

static void make_alarm(void) {
    static bool is_known;
    if (!is_known) is_known = pthread_atfork(NULL, NULL, forget_alarm) == 0;
    if (!is_known) return;
    struct sigaction action = {.sa_handler = on_alarm};     /* no SA_RESTART: what waits ends with EINTR */
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
    event._sigev_un._tid = gettid();
    alarm_clock.is_made = timer_create(CLOCK_MONOTONIC, &event, &alarm_clock.timer) == 0;
}

static void set_alarm(long ns) {
    struct itimerspec patience = {.it_value = {.tv_nsec = ns}, .it_interval = {.tv_nsec = ns}};
    if (alarm_clock.is_made) timer_settime(alarm_clock.timer, 0, &patience, NULL);
}

void cepoll_bound_waiting(unsigned us) {
    if (alarm_clock.depth++ > 0) return;
    if (!alarm_clock.is_made) make_alarm();
    set_alarm(us * 1000L);
}

void cepoll_unbound_waiting(void) {
    if (alarm_clock.depth == 0 || --alarm_clock.depth > 0) return;
    int saved = errno;
    set_alarm(0);
    errno = saved;
}

enum { CLOSING_US = 1000, ACCEPTING_US = 5000 };

void cepoll_close_connection(int socket) {
    struct linger none = {0};
    (void)setsockopt(socket, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    cepoll_close_bounded(socket);
}

void cepoll_close_bounded(int descriptor) {
    cepoll_bound_waiting(CLOSING_US);
    close(descriptor);
    cepoll_unbound_waiting();
}

ssize_t cepoll_receive_bounded(int socket, void *buffer, size_t capacity) {
    ssize_t count;
    cepoll_bound_waiting(CLOSING_US);
    do count = recv(socket, buffer, capacity, MSG_DONTWAIT);
    while (count < 0 && errno == EINTR);
    cepoll_unbound_waiting();
    return count;
}

int cepoll_accept_bounded(int listener) {
    /* Who has made it blocking would have each accept wait until the alarm. */
    if (cepoll_poll_one(listener, CEPOLL_IN, 0) <= 0) {
        errno = EAGAIN;
        return -1;
    }
    cepoll_bound_waiting(ACCEPTING_US);
    int descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    cepoll_unbound_waiting();
    if (descriptor < 0 && errno == EINTR) {
        int flags = fcntl(listener, F_GETFL);
        if (flags >= 0) (void)fcntl(listener, F_SETFL, flags | O_NONBLOCK);
        errno = EAGAIN;
    }
    return descriptor;
}

static int socket_option(int descriptor, int option) {
    int value = -1;
    socklen_t length = sizeof value;
    return getsockopt(descriptor, SOL_SOCKET, option, &value, &length) < 0 ? -1 : value;
}

bool cepoll_was_accepted(int socket) {
    union { struct sockaddr any; struct sockaddr_un local; struct sockaddr_storage room; } peer = {.local = {0}};
    const socklen_t nameless = offsetof(struct sockaddr_un, sun_path);
    socklen_t length = sizeof peer;
    if (getpeername(socket, &peer.any, &length) < 0) return false;
    if (peer.any.sa_family != AF_UNIX) return true;
    return length <= nameless ||
           (length == nameless + 6 && peer.local.sun_path[0] == 0 &&
            strspn(peer.local.sun_path + 1, "0123456789abcdef") == 5);
}

cepoll_stream_kind cepoll_stream(int descriptor) {
    int domain = socket_option(descriptor, SO_DOMAIN);
    if (domain != AF_UNIX && domain != AF_INET && domain != AF_INET6) return CEPOLL_NO_STREAM;
    if (socket_option(descriptor, SO_TYPE) != SOCK_STREAM || socket_option(descriptor, SO_ACCEPTCONN) != 0)
        return CEPOLL_NO_STREAM;
    if (domain == AF_UNIX) return cepoll_was_accepted(descriptor) ? CEPOLL_LOCAL_STREAM : CEPOLL_NO_STREAM;
    return CEPOLL_NETWORK_STREAM;
}

bool cepoll_is_local_socket(int descriptor) { return socket_option(descriptor, SO_DOMAIN) == AF_UNIX; }

int cepoll_peer(int socket, cepoll_address *peer) {
    struct sockaddr_storage storage = {0};
    socklen_t length = sizeof storage;
    if (getpeername(socket, (struct sockaddr *)&storage, &length) < 0) return -1;
    from_sockaddr(&storage, peer);
    return 0;
}

static int unix_address(const char *path, size_t length, struct sockaddr_un *address) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (length >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address->sun_path, path, length);
    return 0;
}

int cepoll_listen_unix(const char *path, size_t path_length, unsigned mode, int backlog) {
    struct sockaddr_un address;
    if (unix_address(path, path_length, &address) < 0) return -1;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0) return -1;
    mode_t former = umask(0777 & ~mode);
    int bound = bind(listener, (struct sockaddr *)&address, sizeof address), saved = errno;
    umask(former);
    errno = saved;
    if (bound < 0 || listen(listener, backlog) < 0) return close_with_errno(listener);
    return listener;
}

int cepoll_socket_path(const char *path) {
    struct stat info;
    int descriptor = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0) return -1;
    if (fstat(descriptor, &info) == 0 && S_ISSOCK(info.st_mode) && info.st_uid == geteuid()) return descriptor;
    errno = EPERM;
    return close_with_errno(descriptor);
}

int cepoll_own_socket(const char *path, uid_t uid, gid_t gid) {
    int descriptor = cepoll_socket_path(path);
    if (descriptor < 0) return -1;
    if (fchownat(descriptor, "", uid, gid, AT_EMPTY_PATH) < 0) return close_with_errno(descriptor);
    return close(descriptor);
}

int cepoll_path_identity(const char *path, uint64_t *device, uint64_t *inode) {
    struct stat info;
    if (lstat(path, &info) < 0) return -1;
    *device = info.st_dev;
    *inode = info.st_ino;
    return 0;
}

int cepoll_known_socket_path(const char *path, uint64_t device, uint64_t inode) {
    struct stat info;
    int descriptor = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0) return -1;
    if (fstat(descriptor, &info) == 0 && S_ISSOCK(info.st_mode) && info.st_dev == device && info.st_ino == inode)
        return descriptor;
    errno = ESTALE;
    return close_with_errno(descriptor);
}

bool cepoll_names_socket(const char *path, uint64_t device, uint64_t inode) {
    struct stat info;
    return lstat(path, &info) == 0 && S_ISSOCK(info.st_mode) && info.st_dev == device && info.st_ino == inode;
}

int cepoll_change_socket(int handle, uid_t uid, gid_t gid, unsigned mode) {
    char path[64];
    if (fchownat(handle, "", uid, gid, AT_EMPTY_PATH) < 0) return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", handle);
    return chmod(path, mode);
}

int cepoll_create_file(const char *path, unsigned mode) {
    if (unlink(path) < 0 && errno != ENOENT) return -1;
    return open(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, mode);
}

int cepoll_unsent(int socket) {
    int bytes = 0;
    return ioctl(socket, SIOCOUTQ, &bytes) < 0 ? -1 : bytes;
}

int cepoll_unix_in_use(const char *path, size_t path_length) {
    struct sockaddr_un address;
    if (unix_address(path, path_length, &address) < 0) return -1;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) return -1;
    /* EAGAIN: the backlog is full, so somebody listens. */
    int used = connect(probe, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN;
    close(probe);
    return used;
}

int cepoll_listen_tcp(const cepoll_address *address, int backlog) {
    struct sockaddr_storage storage;
    socklen_t length = to_sockaddr(address, &storage);
    int on = 1, listener = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0) return -1;
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(listener, (struct sockaddr *)&storage, length) < 0 || listen(listener, backlog) < 0)
        return close_with_errno(listener);
    /* One second; a system without this serves as well. */
    (void)setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &on, sizeof on);
    return listener;
}

int cepoll_resolve(const char *host, uint16_t port, cepoll_address *found, int capacity, const char **error) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    int code = getaddrinfo(host, service, &hints, &list);
    if (code != 0) {
        *error = gai_strerror(code);
        return -1;
    }
    int count = 0;
    for (struct addrinfo *one = list; one && count < capacity; one = one->ai_next) {
        struct sockaddr_storage storage = {0};
        if (one->ai_addrlen > sizeof storage) continue;
        memcpy(&storage, one->ai_addr, one->ai_addrlen);
        from_sockaddr(&storage, &found[count]);
        if (found[count].family != 0) count++;
    }
    freeaddrinfo(list);
    return count;
}

int cepoll_tcp_queue(int listener, unsigned *queued, unsigned *limit) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    if (getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) return -1;
    *queued = info.tcpi_unacked;
    *limit = info.tcpi_sacked;
    return 0;
}

int cepoll_bound_name(int socket, char *buffer, size_t capacity) {
    struct sockaddr_storage storage = {0};
    socklen_t length = sizeof storage;
    if (getsockname(socket, (struct sockaddr *)&storage, &length) < 0) return -1;
    if (storage.ss_family == AF_UNIX) {
        const struct sockaddr_un *local = (const struct sockaddr_un *)&storage;
        size_t used = length - offsetof(struct sockaddr_un, sun_path);
        if (used > 0 && !local->sun_path[0]) {
            if (used >= capacity) return -1;
            // Abstract: zero bytes count like others, and are shown as the kernel shows them.
            for (size_t index = 0; index < used; index++)
                buffer[index] = local->sun_path[index] ? local->sun_path[index] : '@';
            buffer[used] = 0;
            return (int)used;
        }
        return snprintf(buffer, capacity, "%.*s", (int)sizeof local->sun_path, local->sun_path);
    }
    char text[INET6_ADDRSTRLEN];
    cepoll_address address;
    from_sockaddr(&storage, &address);
    if (address.family == 0 || !inet_ntop(address.family == 4 ? AF_INET : AF_INET6, address.bytes, text, sizeof text))
        return -1;
    return snprintf(buffer, capacity, "%s:%u", text, address.port);
}

static bool is_mapped(const cepoll_address *address) {
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return address->family == 6 && memcmp(address->bytes, prefix, sizeof prefix) == 0;
}

int cepoll_address_text(const cepoll_address *address, char *buffer, size_t capacity) {
    const uint8_t *bytes = address->bytes;
    int family = address->family == 4 ? AF_INET : AF_INET6;
    if (is_mapped(address)) {
        bytes += 12;
        family = AF_INET;
    }
    if (address->family == 0 || !inet_ntop(family, bytes, buffer, (socklen_t)capacity)) return -1;
    return (int)strlen(buffer);
}

bool cepoll_parse_address(const char *text, cepoll_address *address) {
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, address->bytes) == 1) {
        address->family = 4;
    } else if (inet_pton(AF_INET6, text, address->bytes) == 1) {
        address->family = 6;
    }
    return address->family != 0;
}

int cepoll_descriptor_flags(int descriptor) { return fcntl(descriptor, F_GETFD); }

int cepoll_adopt_listener(int descriptor) {
    struct stat info;
    int listens = 0;
    socklen_t length = sizeof listens;
    if (fstat(descriptor, &info) < 0) return -1;
    if (!S_ISSOCK(info.st_mode)) {
        errno = ENOTSOCK;
        return -1;
    }
    if (getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) < 0) return -1;
    if (!listens) {
        errno = EINVAL;
        return -1;
    }
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0) return -1;
    return fcntl(descriptor, F_SETFD, FD_CLOEXEC);
}
