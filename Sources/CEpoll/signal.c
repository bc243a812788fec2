/* Signal dispositions and masks. */
#include "cepoll.h"
#include <string.h>
#include <unistd.h>

static int drain_eventfd = -1;
static pid_t drain_owner;
static volatile sig_atomic_t drain_flag;

static void set_handler(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void cepoll_default_dispositions(void) {
    for (int number = 1; number < NSIG; number++) set_handler(number, SIG_DFL, 0);
    set_handler(SIGPIPE, SIG_IGN, 0);
}

void cepoll_unblock_all_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void cepoll_block_signals(const int *signals, size_t count) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < count; i++) sigaddset(&set, signals[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

void cepoll_reset_signals(void) {
    cepoll_default_dispositions();
    cepoll_unblock_all_signals();
}

void cepoll_ignore_signals(const int *signals, size_t count) {
    for (size_t i = 0; i < count; i++) set_handler(signals[i], SIG_IGN, 0);
}

static void on_quit(int number) {
    (void)number;
    drain_flag = 1;
    /* A fork of the script has this handler and the eventfd as well. */
    if (drain_eventfd >= 0 && getpid() == drain_owner) cepoll_eventfd_add(drain_eventfd);
}

void cepoll_drain_on_quit(int eventfd) {
    drain_eventfd = eventfd;
    drain_owner = getpid();
    set_handler(SIGQUIT, on_quit, SA_RESTART);
}

void cepoll_request_drain(void) { drain_flag = 1; }

bool cepoll_drain_requested(void) { return drain_flag != 0; }
