/* Clocks and files: small wrappers around variadic calls and macros. */
#include "cepoll.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/times.h>
#include <sys/un.h>
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

uint64_t cepoll_processor_time(pid_t process) {
    struct timespec used;
    clockid_t clock;
    if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &used) != 0) return 0;
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

int cepoll_processors(void) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
    /* More processors than the set has room for. */
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

int64_t cepoll_ticks_per_second(void) { return sysconf(_SC_CLK_TCK); }

/* The descriptor of this process that a path names, or -1. */
static int own_descriptor(const char *path) {
    if (strcmp(path, "/dev/stdout") == 0) return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0) return STDERR_FILENO;
    static const char *const directories[] = {"/proc/self/fd/", "/dev/fd/"};
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        size_t length = strlen(directories[i]);
        if (strncmp(path, directories[i], length) != 0) continue;
        const char *digits = path + length;
        size_t count = strspn(digits, "0123456789");
        if (count > 0 && count < 7 && digits[count] == '\0') return atoi(digits);
    }
    return -1;
}

int cepoll_open_append(const char *path) {
    /* Non-blocking: whoever reads a FIFO or a terminal must not hold up who writes. Files do not mind. */
    int flags = O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int descriptor = open(path, O_WRONLY | flags, 0600);
    if (descriptor >= 0 || (errno != ENXIO && errno != EACCES)) return descriptor;
    /* Standard error of a container is often a socket, or a pipe that belongs to another user: what is open cannot be opened
       a second time, but shared. */
    int saved = errno, own = own_descriptor(path);
    if (own >= 0 && (descriptor = fcntl(own, F_DUPFD_CLOEXEC, 3)) >= 0) return descriptor;
    errno = saved;
    /* A FIFO that nobody reads yet: opened for both, it keeps what fits. */
    return errno == ENXIO ? open(path, O_RDWR | flags, 0600) : -1;
}

void cepoll_open_syslog(const char *ident, int facility) {
    static char *kept;      /* openlog(3) keeps the pointer, not the text */
    char *copy = strdup(ident);
    if (!copy) return;
    openlog(copy, LOG_PID | LOG_CONS, facility);
    free(kept);
    kept = copy;
}

int cepoll_connect_log(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return -1;
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0) return descriptor;
    int saved = errno;
    close(descriptor);
    errno = saved;
    return -1;
}

cepoll_file_kind cepoll_kind(int descriptor) {
    struct stat status;
    if (fstat(descriptor, &status) < 0) return CEPOLL_KIND_OTHER;
    if (S_ISSOCK(status.st_mode)) return CEPOLL_KIND_SOCKET;
    if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) return CEPOLL_KIND_FILE;
    /* /dev/null and its like; a terminal can be stopped. */
    return S_ISCHR(status.st_mode) && !isatty(descriptor) ? CEPOLL_KIND_FILE : CEPOLL_KIND_OTHER;
}

int cepoll_reopen_nonblocking(int descriptor) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    return open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

void cepoll_close_on_exec(int first, int end) {
    for (int descriptor = first; descriptor < end; descriptor++) {
        int flags = fcntl(descriptor, F_GETFD);
        if (flags >= 0) (void)fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC);
    }
}

int cepoll_duplicate(int descriptor) { return fcntl(descriptor, F_DUPFD_CLOEXEC, 3); }

bool cepoll_has_two_numbers(int descriptor) {
    int first = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (first < 0) return false;
    int second = fcntl(descriptor, F_DUPFD_CLOEXEC, first + 1);
    close(first);
    if (second < 0) return false;
    close(second);
    return true;
}

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
