/*
 * SIGPROF, prepared once and not in every request.
 *
 * PHP installs its handler for the time limit's signal, and unblocks the signal, at the start of each request: two
 * system calls that nearly always find what the request before has left. The functions here stand before libc's; a
 * call that would change nothing returns at once, every other goes to libc as it is.
 *
 * What goes past them (signal(), a system call made by hand) is not seen; with timer.c nothing of PHP waits for SIGPROF.
 */
#include "sapi.h"

#include <dlfcn.h>
#include <signal.h>

typedef int sigaction_function(int, const struct sigaction *, struct sigaction *);
typedef int mask_function(int, const sigset_t *, sigset_t *);
static sigaction_function *libc_sigaction;
static mask_function *libc_sigprocmask, *libc_pthread_sigmask;

static struct sigaction installed;
static bool is_installed;
/* By this thread, and not changed since. */
static _Thread_local bool is_unblocked;

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void find_libc(void)
{
    void *action = next("sigaction"), *mask = next("sigprocmask"), *thread_mask = next("pthread_sigmask");

    memcpy(&libc_sigaction, &action, sizeof action);
    memcpy(&libc_sigprocmask, &mask, sizeof mask);
    memcpy(&libc_pthread_sigmask, &thread_mask, sizeof thread_mask);
}

__attribute__((visibility("default"))) int sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
    int result;

    if (number == SIGPROF && action && !old && is_installed && memcmp(action, &installed, sizeof installed) == 0) {
        return 0;
    }
    if (!libc_sigaction) {
        find_libc();        /* called by another library's constructor */
    }
    result = libc_sigaction(number, action, old);
    if (number == SIGPROF && action) {
        is_installed = result == 0;
        installed = *action;
    }
    return result;
}

/* SIGPROF and no other. Of a set the kernel knows the first NSIG bits; the rest need not be initialized. */
static bool is_of_time_limit(const sigset_t *signals)
{
    sigset_t alone;

    sigemptyset(&alone);
    sigaddset(&alone, SIGPROF);
    return memcmp(signals, &alone, (_NSIG - 1) / 8) == 0;
}

static int change_mask(mask_function *libc, int how, const sigset_t *signals, sigset_t *old)
{
    bool unblocks = how == SIG_UNBLOCK && signals && is_of_time_limit(signals);
    int result;

    if (unblocks && !old && is_unblocked) {
        return 0;
    }
    result = libc(how, signals, old);
    if (signals) {
        is_unblocked = unblocks && result == 0;
    }
    return result;
}

__attribute__((visibility("default"))) int sigprocmask(int how, const sigset_t *signals, sigset_t *old)
{
    if (!libc_sigprocmask) {
        find_libc();
    }
    return change_mask(libc_sigprocmask, how, signals, old);
}

__attribute__((visibility("default"))) int pthread_sigmask(int how, const sigset_t *signals, sigset_t *old)
{
    if (!libc_pthread_sigmask) {
        find_libc();
    }
    return change_mask(libc_pthread_sigmask, how, signals, old);
}
