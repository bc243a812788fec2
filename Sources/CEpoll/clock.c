/* Clocks and files: small wrappers around variadic calls and macros. */
#include "cepoll.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/times.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

uint64_t cepoll_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int64_t cepoll_realtime_s(void) { return time(NULL); }

int64_t cepoll_realtime_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

size_t cepoll_format_time(const char *format, int64_t seconds, char *buffer, size_t capacity) {
    time_t when = (time_t)seconds;
    struct tm local;
    if (!localtime_r(&when, &local)) return 0;
    return strftime(buffer, capacity, format, &local);
}

void cepoll_cpu_ticks(cepoll_cpu *used) {
    struct tms ticks;
    times(&ticks);
    used->user = ticks.tms_utime + ticks.tms_cutime;
    used->system = ticks.tms_stime + ticks.tms_cstime;
}

int64_t cepoll_ticks_per_second(void) { return sysconf(_SC_CLK_TCK); }

int cepoll_open_append(const char *path) { return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600); }

void cepoll_open_syslog(const char *ident, int facility) {
    static char *kept;      /* openlog(3) keeps the pointer, not the text */
    char *copy = strdup(ident);
    if (!copy) return;
    openlog(copy, LOG_PID | LOG_CONS, facility);
    free(kept);
    kept = copy;
}

void cepoll_syslog(int priority, const char *text) { syslog(priority, "%s", text); }

void cepoll_close_on_exec(int first, int end) {
    for (int descriptor = first; descriptor < end; descriptor++) {
        int flags = fcntl(descriptor, F_GETFD);
        if (flags >= 0) (void)fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC);
    }
}

int cepoll_duplicate(int descriptor) { return fcntl(descriptor, F_DUPFD_CLOEXEC, 3); }

int cepoll_set_nonblocking(int descriptor) {
    int flags = fcntl(descriptor, F_GETFL);
    return flags < 0 ? -1 : fcntl(descriptor, F_SETFL, flags | O_NONBLOCK);
}

int cepoll_replace(int descriptor, int target) { return dup3(descriptor, target, O_CLOEXEC); }

int cepoll_open_null(void) { return open("/dev/null", O_RDWR | O_CLOEXEC); }

int cepoll_blocking_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

int cepoll_pipe(int ends[2]) {
    if (pipe2(ends, O_CLOEXEC) < 0) return -1;
    if (cepoll_set_nonblocking(ends[0]) < 0) {
        int saved = errno;
        close(ends[0]);
        close(ends[1]);
        errno = saved;
        return -1;
    }
    return 0;
}
