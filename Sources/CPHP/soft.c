/*
 * request_soft_timeout: the script ends with a fatal error, so that its shutdown functions run.
 *
 * The master sends a signal with the token of the request that takes too long. The handler asks the engine for an
 * interrupt, as max_execution_time does; the engine comes here between two instructions, and the error is raised where
 * every error of a script may be. A call that waits (sleep, a socket) returns, for the signal is not restarted.
 */
#include "sapi.h"

#include <signal.h>

static volatile sig_atomic_t wanted, is_late;
static void (*next_interrupt)(zend_execute_data *);

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    /* Meant for an earlier request. */
    if (wanted == 0 || info->si_value.sival_int != wanted) {
        return;
    }
    is_late = 1;
    zend_atomic_bool_store_ex(&EG(vm_interrupt), true);
}

static void interrupt(zend_execute_data *frame)
{
    if (is_late) {
        is_late = 0;
        wanted = 0;
        zend_error_noreturn(E_ERROR, "request_soft_timeout exceeded");
    }
    if (next_interrupt) {
        next_interrupt(frame);
    }
}

void fpmd_soft_worker_init(void)
{
    int number = fpmd_php_soft_signal();
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    sigset_t signals;

    wanted = 0;
    is_late = 0;
    sigemptyset(&action.sa_mask);
    sigemptyset(&signals);
    sigaddset(&signals, number);
    if (sigaction(number, &action, NULL) != 0 || sigprocmask(SIG_UNBLOCK, &signals, NULL) != 0) {
        return;
    }
    if (zend_interrupt_function != interrupt) {
        next_interrupt = zend_interrupt_function;
        zend_interrupt_function = interrupt;
    }
}

int fpmd_php_soft_signal(void)
{
    return SIGRTMAX - 2;
}

void fpmd_php_set_token(int token)
{
    wanted = 0;
    is_late = 0;
    wanted = token;
}
