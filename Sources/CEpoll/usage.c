/* What this process uses, as /proc/self says. */
#include "cepoll.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The whole of a small file below /proc; its length, or -1. */
static ssize_t read_small(const char *path, char *buffer, size_t capacity)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length;

    if (file < 0) return -1;
    length = read(file, buffer, capacity - 1);
    close(file);
    if (length >= 0) buffer[length] = 0;
    return length;
}

/* The kernel says it from Linux 6.2 on as the size of the directory; before, the entries are counted. */
static uint64_t count_files(void)
{
    struct stat info;
    struct dirent *entry;
    uint64_t count = 0;
    DIR *directory;

    if (stat("/proc/self/fd", &info) == 0 && info.st_size > 0) return (uint64_t)info.st_size;
    directory = opendir("/proc/self/fd");
    if (!directory) return 0;
    while ((entry = readdir(directory))) count += entry->d_name[0] != '.';
    closedir(directory);
    return count > 0 ? count - 1 : 0;   /* without the directory's own */
}

bool cepoll_process_sleeps(pid_t process)
{
    char path[32], text[256];
    const char *state;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    if (read_small(path, text, sizeof text) < 0) return false;
    state = strrchr(text, ')');
    return state && state[1] == ' ' && (state[2] == 'S' || state[2] == 'D');
}

int cepoll_own_usage(cepoll_usage *usage)
{
    char text[1024];
    const char *fields;
    uint64_t start_ticks = 0, size = 0, pages = 0;
    struct timespec boot, real;
    struct rusage used;

    memset(usage, 0, sizeof *usage);
    if (getrusage(RUSAGE_SELF, &used) != 0) return -1;
    usage->cpu_us = (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 +
                    (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    if (read_small("/proc/self/stat", text, sizeof text) < 0) return -1;
    /* The name may hold anything, and is the last with a bracket; the state is the third field, 22 to 24 are wanted. */
    fields = strrchr(text, ')');
    if (!fields) return errno = EINVAL, -1;
    for (int number = 2; number < 22 && fields; number++) fields = strchr(fields + 1, ' ');
    if (!fields || sscanf(fields, " %" SCNu64 " %" SCNu64 " %" SCNu64, &start_ticks, &size, &pages) != 3)
        return errno = EINVAL, -1;
    usage->virtual_size = size;
    usage->resident = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    if (clock_gettime(CLOCK_BOOTTIME, &boot) == 0 && clock_gettime(CLOCK_REALTIME, &real) == 0) {
        int64_t now = real.tv_sec * 100 + real.tv_nsec / 10000000, up = boot.tv_sec * 100 + boot.tv_nsec / 10000000;
        int64_t since_boot = (int64_t)(start_ticks * 100 / (uint64_t)sysconf(_SC_CLK_TCK));
        usage->start_centiseconds = (uint64_t)(now - up + since_boot);
    }
    usage->open_files = count_files();
    return 0;
}
