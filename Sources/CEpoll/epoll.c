/* epoll, signalfd, eventfd, timerfd, memfd. */
#include "cepoll.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(CEPOLL_IN == EPOLLIN && CEPOLL_OUT == EPOLLOUT && CEPOLL_RDHUP == EPOLLRDHUP, "kernel ABI");
_Static_assert(CEPOLL_ERR == EPOLLERR && CEPOLL_HUP == EPOLLHUP, "kernel ABI");
_Static_assert(CEPOLL_ONESHOT == EPOLLONESHOT, "kernel ABI");
_Static_assert(CEPOLL_IN == POLLIN && CEPOLL_OUT == POLLOUT, "poll and epoll share these bits");

enum { BATCH = 64 };

int cepoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int cepoll_add(int epoll, int descriptor, uint32_t events, bool exclusive, uint64_t data) {
    struct epoll_event event = {.events = events | (exclusive ? EPOLLEXCLUSIVE : 0), .data = {.u64 = data}};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

int cepoll_modify(int epoll, int descriptor, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data = {.u64 = data}};
    return epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event);
}

int cepoll_remove(int epoll, int descriptor) {
    struct epoll_event unused = {0};
    return epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, &unused);
}

int cepoll_wait(int epoll, cepoll_ready *ready, int capacity, int64_t timeout_ns) {
    struct epoll_event events[BATCH];
    int limit = capacity < BATCH ? capacity : BATCH, count;
    if (timeout_ns < 0) {
        count = epoll_wait(epoll, events, limit, -1);
    } else if (timeout_ns == 0) {
        count = epoll_wait(epoll, events, limit, 0);
    } else {
        struct timespec wait = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
        count = epoll_pwait2(epoll, events, limit, &wait, NULL);
        /* Before Linux 5.11, or under a seccomp filter that answers EPERM to what it does not know, as those of
           older container engines do: round up to milliseconds. The call has no EPERM of its own. */
        if (count < 0 && (errno == ENOSYS || errno == EPERM)) {
            int64_t ms = (timeout_ns + 999999) / 1000000;
            count = epoll_wait(epoll, events, limit, ms > INT_MAX ? INT_MAX : (int)ms);
        }
    }
    for (int i = 0; i < count; i++) {
        ready[i].data = events[i].data.u64;
        ready[i].events = events[i].events;
    }
    return count;
}

int cepoll_poll_one(int descriptor, uint32_t events, int timeout_ms) {
    struct pollfd one = {.fd = descriptor, .events = (short)events};
    int count = poll(&one, 1, timeout_ms);
    return count <= 0 ? count : one.revents;
}

int cepoll_signalfd(const int *signals, size_t count) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < count; i++) sigaddset(&set, signals[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int cepoll_signalfd_read(int descriptor) {
    struct signalfd_siginfo info;
    ssize_t length = read(descriptor, &info, sizeof info);
    if (length == (ssize_t)sizeof info) return (int)info.ssi_signo;
    return length < 0 && errno != EAGAIN && errno != EINTR ? -1 : 0;
}

int cepoll_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

void cepoll_eventfd_add(int descriptor) {
    int saved = errno;
    uint64_t one = 1;
    ssize_t ignored = write(descriptor, &one, sizeof one);
    (void)ignored;
    errno = saved;
}

int cepoll_timer(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK); }

int cepoll_timer_set(int timer, uint64_t nanoseconds) {
    struct itimerspec once = {
        .it_value = {.tv_sec = (time_t)(nanoseconds / 1000000000), .tv_nsec = (long)(nanoseconds % 1000000000)},
    };
    return timerfd_settime(timer, 0, &once, NULL);
}

bool cepoll_timer_take(int timer) {
    uint64_t count;
    return read(timer, &count, sizeof count) == (ssize_t)sizeof count;
}

int cepoll_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

int cepoll_sealed_memory(const char *name, size_t size) {
    int descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (descriptor < 0) return -1;
    if (ftruncate(descriptor, (off_t)size) < 0 ||
        fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        int saved = errno;
        close(descriptor);
        errno = saved;
        return -1;
    }
    return descriptor;
}
