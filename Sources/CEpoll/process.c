/* Processes: forking siblings, executing, reaping, titles. */
#include "cepoll.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif

extern char **environ;

/* glibc keeps the thread's id in its thread descriptor and uses it for raise() and recursive locks; its own
   fork has the kernel rewrite it in the child. The kernel tells where that field is (it was registered with
   set_tid_address at start-up), so the same can be done here. Without the prctl (no checkpoint/restore in
   the kernel) the child's copy stays stale: abort() in a worker would then signal nobody, so it is refused. */
pid_t cepoll_fork_sibling(void) {
    int *tid_address = NULL;
    if (prctl(PR_GET_TID_ADDRESS, &tid_address, 0, 0, 0) < 0) return -1;
    if (!tid_address || *tid_address != (int)syscall(SYS_gettid)) {
        errno = ENOTSUP;
        return -1;
    }
    unsigned long flags = CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
#if defined(__x86_64__)
    return (pid_t)syscall(SYS_clone, flags, 0UL, NULL, tid_address, 0UL);
#elif defined(__aarch64__) || defined(__riscv)
    return (pid_t)syscall(SYS_clone, flags, 0UL, NULL, 0UL, tid_address);
#else
#error "clone(2) takes its arguments in an order that is not known for this architecture"
#endif
}

pid_t cepoll_fork(void) { return fork(); }

pid_t cepoll_close_elsewhere(int descriptor) {
    unsigned long flags = CLONE_FILES | SIGCHLD;
    pid_t pid = (pid_t)syscall(SYS_clone, flags, 0UL, NULL, NULL, 0UL);
    if (pid == 0) {
        close(descriptor);
        _exit(0);
    }
    return pid;
}

pid_t cepoll_fork_helper(void) {
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != parent) _exit(0);
    }
    return pid;
}

int cepoll_pidfd(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

bool cepoll_pidfd_is_alive(int pidfd) {
    /* Readable when the process has ended. */
    struct pollfd poller = {.fd = pidfd, .events = POLLIN};
    return poll(&poller, 1, 0) == 0;
}

int cepoll_read_memory(pid_t pid, uint64_t address, void *buffer, size_t length) {
    struct iovec local = {.iov_base = buffer, .iov_len = length};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = length};
    ssize_t count = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (count >= 0 && (size_t)count != length) errno = EFAULT;
    return count >= 0 && (size_t)count == length ? 0 : -1;
}

void cepoll_allow_tracing(void) { (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); }

int cepoll_thread_count(void) {
    char line[256];
    int count = -1;
    FILE *status = fopen("/proc/self/status", "re");
    if (!status) return -1;
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "Threads: %d", &count) == 1) break;
    fclose(status);
    return count;
}

pid_t cepoll_spawn(const char *path, char *const *argv, char *const *envp, const int *descriptors,
                   size_t descriptor_count, uint64_t file_limit, int niceness, uid_t uid, gid_t gid) {
    enum { MOST = 32 };
    if (descriptor_count > MOST) {
        errno = EINVAL;
        return -1;
    }
    /* Between vfork and exec only async-signal-safe calls; the parent is suspended and shares memory. */
    sigset_t all, former, none;
    sigfillset(&all);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &all, &former);
    volatile int failure = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        for (int number = 1; number < NSIG; number++) sigaction(number, &action, NULL);
        /* Two passes: first out of the way of the target numbers, then into place. */
        int moved[MOST];
        for (size_t i = 0; i < descriptor_count; i++) {
            moved[i] = fcntl(descriptors[i], F_DUPFD_CLOEXEC, MOST);
            /* EINVAL: the limit ends before the first number that may be taken. */
            if (moved[i] < 0) { failure = errno == EINVAL ? EMFILE : errno; _exit(127); }
        }
        for (size_t i = 0; i < descriptor_count; i++)
            if (dup2(moved[i], (int)i) < 0) { failure = errno; _exit(127); }
        /* Only now: the numbers on the way may be beyond the limit. */
        if (file_limit > 0) {
            struct rlimit limit;
            if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = file_limit < limit.rlim_max ? file_limit : limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit);
            }
        }
        if (niceness > 0) (void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + niceness);
        /* Whatever this process inherited without close-on-exec is not the new one's business. An old kernel
           without the call leaves it open. */
        (void)syscall(SYS_close_range, (unsigned)descriptor_count, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
        /* The bare calls: glibc's setuid has state of its own, which is the parent's here. */
        if ((gid != 0 || uid != 0) &&
            (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setgid, gid) < 0 || syscall(SYS_setuid, uid) < 0)) {
            failure = errno;
            _exit(127);
        }
        sigprocmask(SIG_SETMASK, &none, NULL);
        execve(path, argv, envp);
        failure = errno;
        _exit(127);
    }
    int saved = errno;
    sigprocmask(SIG_SETMASK, &former, NULL);
    if (pid > 0 && failure != 0) {
        int status;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
        errno = failure;
        return -1;
    }
    errno = saved;
    return pid;
}

int cepoll_reap(cepoll_exit *ended) {
    int status;
    pid_t pid;
    do pid = waitpid(-1, &status, WNOHANG);
    while (pid < 0 && errno == EINTR);
    if (pid <= 0) return (int)pid;
    ended->pid = pid;
    ended->signaled = WIFSIGNALED(status);
    ended->core_dumped = ended->signaled && WCOREDUMP(status);
    ended->code = ended->signaled ? WTERMSIG(status) : WEXITSTATUS(status);
    return 1;
}

bool cepoll_is_child(pid_t pid) {
    siginfo_t info;
    return pid > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

const char *cepoll_signal_abbreviation(int number) { return sigabbrev_np(number); }

/* ---- title ------------------------------------------------------------------------------------------ */

static char **saved_arguments;
static char *title_area;
static size_t title_capacity;

void cepoll_prepare_title(int argc, char **argv) {
    if (argc < 1 || title_area) return;
    char *start = argv[0], *end = argv[0] + strlen(argv[0]) + 1;
    for (int i = 1; i < argc; i++)
        if (argv[i] == end) end = argv[i] + strlen(argv[i]) + 1;
    size_t count = 0;
    for (; environ[count]; count++)
        if (environ[count] == end) end = environ[count] + strlen(environ[count]) + 1;
    /* The strings move before their memory is overwritten: environ, and argv for whoever reads it later. */
    char **copy = malloc((count + 1) * sizeof *copy);
    if (!copy) return;
    for (size_t i = 0; i < count; i++)
        if (!(copy[i] = strdup(environ[i]))) return;
    copy[count] = NULL;
    environ = copy;
    for (int i = 0; i < argc; i++) {
        char *argument = strdup(argv[i]);
        if (!argument) return;
        argv[i] = argument;
    }
    saved_arguments = argv;
    title_area = start;
    title_capacity = (size_t)(end - start);
}

void cepoll_set_title(const char *title) {
    if (!title_area || title_capacity < 2) return;
    size_t length = strlen(title);
    if (length > title_capacity - 1) length = title_capacity - 1;
    memcpy(title_area, title, length);
    memset(title_area + length, 0, title_capacity - length);
}

/* ---- becoming another image --------------------------------------------------------------------------- */

int cepoll_become_program(const char *path) {
    if (!saved_arguments) {
        errno = EINVAL;
        return -1;
    }
    return execve(path, saved_arguments, environ);
}

int cepoll_survive_exec(int descriptor, bool survives) {
    int flags = fcntl(descriptor, F_GETFD);
    if (flags < 0) return -1;
    return fcntl(descriptor, F_SETFD, survives ? flags & ~FD_CLOEXEC : flags | FD_CLOEXEC);
}

int cepoll_file_identity(const char *path, cepoll_file *file) {
    struct stat info;
    if (stat(path, &info) < 0) return -1;
    file->device = info.st_dev;
    file->inode = info.st_ino;
    file->size = info.st_size;
    file->modified_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    return 0;
}

void cepoll_give_memory_back(void) { (void)malloc_trim(0); }
