/* Nice values: getpriority(2), setpriority(2). */
#include "cepoll.h"
#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int cepoll_set_priority(int priority) { return setpriority(PRIO_PROCESS, 0, priority); }

int cepoll_share_priority(pid_t pid) {
    errno = 0;
    int own = getpriority(PRIO_PROCESS, 0);
    if (own == -1 && errno != 0) return -1;
    return setpriority(PRIO_PROCESS, (id_t)pid, own);
}

bool cepoll_may_raise_priority(void) {
    /* Capabilities and limits do not tell: user namespaces and filters of system calls have a say. So it is tried. */
    pid_t pid = vfork();
    if (pid == 0) {
        int own = getpriority(PRIO_PROCESS, 0);
        _exit(setpriority(PRIO_PROCESS, 0, own + 1) < 0 || setpriority(PRIO_PROCESS, 0, own) < 0);
    }
    if (pid < 0) return false;
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
