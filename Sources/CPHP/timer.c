/*
 * max_execution_time and max_input_time without a system call per request.
 *
 * PHP sets ITIMER_PROF three times and SIGPROF's handler once in every request. Here one timer per worker
 * ticks on the process's CPU clock, so an idle worker is never woken, and its handler compares. PHP's two
 * functions are replaced by those below: the program's definition of an exported symbol wins over the
 * library's. Where it does not (a PHP linked into the program itself) nothing here is called, and PHP keeps
 * its own timer.
 *
 * The tick cannot interrupt a waiting system call of a single-threaded process: the kernel (5.9 and later)
 * raises CPU timer signals on the way back to user mode, after the call has its result.
 */
#include "sapi.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS 250000000L
#define SECOND_NS 1000000000LL
#define NOT_STARTED (-1LL)

static timer_t ticker;
static volatile bool ticking;
/* Written by the process, read by the handler on the same thread. A request's clock starts at the first tick
   it sees: a limit is late by up to one tick, never early. */
static volatile int64_t limit_ns, started_ns;
static bool checked;                /* PHP's own timer was found at rest after a request */

static int64_t cpu_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void set_limit(zend_long seconds)
{
    limit_ns = 0;
    atomic_signal_fence(memory_order_seq_cst);
    started_ns = NOT_STARTED;
    atomic_signal_fence(memory_order_seq_cst);
    limit_ns = seconds > 0 && seconds < 1000000000 ? seconds * SECOND_NS : 0;
}

/* The script did not come to a point where PHP asks about its time within hard_timeout. */
static void give_up(void)
{
    char text[1024];
    const char *file = "Unknown";
    uint32_t line = 0;
    int length;

    if (zend_is_compiling()) {
        zend_string *name = zend_get_compiled_filename();
        file = name ? ZSTR_VAL(name) : file;
        line = (uint32_t)zend_get_compiled_lineno();
    } else if (zend_is_executing()) {
        file = zend_get_executed_filename();
        if (file[0] == '[') {
            file = "Unknown";       /* "[no active file]" */
        } else {
            line = zend_get_executed_lineno();
        }
    }
    length = snprintf(text, sizeof text,
                      "\nFatal error: Maximum execution time of " ZEND_LONG_FMT "+" ZEND_LONG_FMT
                      " seconds exceeded (terminated) in %s on line %u\n",
                      EG(timeout_seconds), EG(hard_timeout), file, line);
    if (length > 0) {
        size_t size = (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
        ssize_t ignored = write(STDERR_FILENO, text, size);
        (void)ignored;
    }
    _exit(124);
}

static void time_out(int64_t now)
{
    if (zend_atomic_bool_load_ex(&EG(timed_out))) {
        give_up();
    }
    if (zend_on_timeout) {
        zend_on_timeout((int)EG(timeout_seconds));
    }
    zend_atomic_bool_store_ex(&EG(timed_out), true);
    zend_atomic_bool_store_ex(&EG(vm_interrupt), true);
    started_ns = now;
    limit_ns = EG(hard_timeout) > 0 ? EG(hard_timeout) * SECOND_NS : 0;
}

static void on_tick(int signal_number)
{
    int saved = errno;
    int64_t limit = limit_ns, now, left;

    (void)signal_number;
    if (limit > 0) {
        now = cpu_now();
        if (started_ns == NOT_STARTED) {
            started_ns = now;
        }
        left = started_ns + limit - now;
        if (left <= 0) {
            time_out(now);
        } else if (left < TICK_NS) {
            struct itimerspec exact = { .it_value.tv_nsec = left, .it_interval.tv_nsec = TICK_NS };
            timer_settime(ticker, 0, &exact, NULL);
        }
    }
    errno = saved;
}

void fpmd_timer_worker_init(void)
{
    /* No program has a use for the last but one real-time signal; SIGPROF stays PHP's. */
    int number = SIGRTMAX - 1;
    struct sigaction action = { .sa_handler = on_tick, .sa_flags = SA_RESTART | SA_ONSTACK };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = number };
    struct itimerspec period = { .it_value.tv_nsec = TICK_NS, .it_interval.tv_nsec = TICK_NS };

    sigset_t signals;

    ticking = false;
    checked = false;
    set_limit(0);
    sigemptyset(&action.sa_mask);
    sigemptyset(&signals);
    sigaddset(&signals, number);
    if (sigaction(number, &action, NULL) != 0 || sigprocmask(SIG_UNBLOCK, &signals, NULL) != 0
        || timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &ticker) != 0) {
        return;     /* PHP's own timer then */
    }
    if (timer_settime(ticker, 0, &period, NULL) != 0) {
        timer_delete(ticker);
        return;
    }
    ticking = true;
}

/* PHP's own function, behind the one of the same name here. */
static void *original(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (!function) {
        fprintf(stderr, "fpmd: %s: not found in libphp\n", name);
        abort();
    }
    return function;
}

ZEND_API void zend_set_timeout(zend_long seconds, bool reset_signals)
{
    if (!ticking) {
        ((void (*)(zend_long, bool))original("zend_set_timeout"))(seconds, reset_signals);
        return;
    }
    EG(timeout_seconds) = seconds;
    set_limit(seconds);
    zend_atomic_bool_store_ex(&EG(timed_out), false);
}

ZEND_API void zend_unset_timeout(void)
{
    if (!ticking) {
        ((void (*)(void))original("zend_unset_timeout"))();
        return;
    }
    set_limit(0);
    zend_atomic_bool_store_ex(&EG(timed_out), false);
}

void fpmd_timer_request_end(void)
{
    static const struct itimerval rest;
    struct itimerval timer;

    if (!ticking) {
        return;
    }
    set_limit(0);
    if (checked) {
        return;
    }
    /* Once: a PHP of which only some calls arrive here would leave its own timer running. */
    checked = true;
    if (getitimer(ITIMER_PROF, &timer) == 0 && (timer.it_value.tv_sec || timer.it_value.tv_usec)) {
        setitimer(ITIMER_PROF, &rest, NULL);
        timer_delete(ticker);
        ticking = false;
    }
}
