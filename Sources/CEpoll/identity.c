/* Users, groups, limits. */
#include "cepoll.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int cepoll_become(uid_t uid, gid_t gid, const char *name, bool groups_are_set, const char **step) {
    *step = "setgid";
    if (gid != 0 && setgid(gid) < 0) return -1;
    if (uid == 0) return 0;
    *step = "initgroups";
    if (!groups_are_set && (name ? initgroups(name, gid) : setgroups(0, NULL)) < 0) return -1;
    *step = "setuid";
    if (setuid(uid) < 0) return -1;
    /* The ids are only worth something if they cannot be taken back. */
    *step = "regaining root after setuid";
    if (setuid(0) == 0) {
        errno = EPERM;
        return -1;
    }
    errno = 0;
    return 0;
}

/* Both 64-bit sets at once; `keep` is a mask of the low 32 capabilities. */
static int set_capabilities(uint32_t keep) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = keep, .permitted = keep}};
    return (int)syscall(SYS_capset, &header, data);
}

int cepoll_become_keeping_chroot(uid_t uid, gid_t gid, const char *name, const char **step) {
    *step = "keep capabilities";
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return -1;
    if (cepoll_become(uid, gid, name, false, step) < 0) return -1;
    *step = "limit capabilities";
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0) return -1;
    /* A pool that stays root (allowed by -R) has nothing to lose here. */
    return uid == 0 ? 0 : set_capabilities(1u << CAP_SYS_CHROOT);
}

int cepoll_drop_capabilities(void) { return getuid() == 0 ? 0 : set_capabilities(0); }

static int set_both(int resource, rlim_t value) {
    struct rlimit limit = {.rlim_cur = value, .rlim_max = value};
    return setrlimit(resource, &limit);
}

int cepoll_set_file_limit(int64_t limit) { return set_both(RLIMIT_NOFILE, (rlim_t)limit); }

int cepoll_set_core_limit(int64_t limit) { return set_both(RLIMIT_CORE, limit < 0 ? RLIM_INFINITY : (rlim_t)limit); }

uint64_t cepoll_raise_file_limit(uint64_t *now) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        *now = 1024;
        return 0;
    }
    uint64_t former = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    *now = setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : former;
    return former;
}

uint64_t cepoll_hard_file_limit(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 1024 : limit.rlim_max;
}

int cepoll_set_dumpable(bool dumpable) { return prctl(PR_SET_DUMPABLE, dumpable ? 1 : 0, 0, 0, 0); }

int cepoll_change_root(const char *path) { return chroot(path) < 0 ? -1 : chdir("/"); }

void cepoll_clear_environment(void) { clearenv(); }

/* The kernel's interface, apparmor(7): what is written applies to the writing thread, and to what it forks. */
int cepoll_open_confinement(void) {
    int file = open("/proc/self/attr/apparmor/current", O_RDWR | O_CLOEXEC);
    return file < 0 ? open("/proc/self/attr/current", O_RDWR | O_CLOEXEC) : file;
}

int cepoll_confine(int file, const char *hat, const char **step) {
    char label[4096], request[sizeof label + 32];
    *step = "query apparmor confinement";
    ssize_t length = pread(file, label, sizeof label - 1, 0);
    if (length <= 0) return -1;
    label[length] = 0;
    /* "PROFILE (enforce)" and a newline; without a profile "unconfined" alone. */
    label[strcspn(label, "\n")] = 0;
    char *mode = strrchr(label, '(');
    if (mode && mode > label && mode[-1] == ' ') mode[-1] = 0;
    *step = "change to new confinement";
    int size = snprintf(request, sizeof request, "changeprofile %s//%s", label, hat);
    if (size < 0 || (size_t)size >= sizeof request) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return write(file, request, (size_t)size) == size ? 0 : -1;
}
