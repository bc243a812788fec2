/*
 * max_execution_time and max_input_time without a system call per request.
 *
 * PHP sets ITIMER_PROF three times in every request. Here one timer per worker ticks on the process's CPU clock,
 * so an idle worker is never woken, and its handler compares. PHP arms its own timer only for limits other than 0:
 * so the two settings are taken over as they are made, by their handlers in PHP's table of settings, and PHP itself
 * sees "no limit". ini_get() and set_time_limit() work on the table, and show and do what they always did.
 *
 * The tick cannot interrupt a waiting system call of a single-threaded process: the kernel (5.9 and later)
 * raises CPU timer signals on the way back to user mode, after the call has its result.
 */
#include "sapi.h"

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
static volatile zend_long limit_seconds;

/* The settings' values, and PHP's handlers for them. */
static zend_long max_execution, max_input;
static ZEND_INI_MH((*php_on_execution));
static ZEND_INI_MH((*php_on_input));

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
    limit_seconds = seconds;
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
    EG(timeout_seconds) = limit_seconds;    /* for the message */
    if (zend_on_timeout) {
        zend_on_timeout((int)EG(timeout_seconds));
    }
    zend_atomic_bool_store_ex(&EG(timed_out), true);
    zend_atomic_bool_store_ex(&EG(vm_interrupt), true);
    /* For the script to end, and then for each attempt of its shutdown functions. */
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

/* PHP's handler reads the value; at this stage it arms no timer. */
static ZEND_INI_MH(on_execution_time)
{
    int result = php_on_execution(entry, new_value, mh_arg1, mh_arg2, mh_arg3, ZEND_INI_STAGE_STARTUP);

    max_execution = EG(timeout_seconds);
    EG(timeout_seconds) = 0;
    if (result == SUCCESS && stage != ZEND_INI_STAGE_DEACTIVATE) {
        set_limit(max_execution);
    }
    return result;
}

static ZEND_INI_MH(on_input_time)
{
    int result = php_on_input(entry, new_value, mh_arg1, mh_arg2, mh_arg3, stage);

    max_input = PG(max_input_time);
    PG(max_input_time) = -1;
    return result;
}

static bool start_ticking(void)
{
    /* No program has a use for the last but one real-time signal; SIGPROF stays PHP's. */
    int number = SIGRTMAX - 1;
    struct sigaction action = { .sa_handler = on_tick, .sa_flags = SA_RESTART | SA_ONSTACK };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = number };
    struct itimerspec period = { .it_value.tv_nsec = TICK_NS, .it_interval.tv_nsec = TICK_NS };
    sigset_t signals;

    sigemptyset(&action.sa_mask);
    sigemptyset(&signals);
    sigaddset(&signals, number);
    if (sigaction(number, &action, NULL) != 0 || sigprocmask(SIG_UNBLOCK, &signals, NULL) != 0
        || timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &ticker) != 0) {
        return false;
    }
    if (timer_settime(ticker, 0, &period, NULL) != 0) {
        timer_delete(ticker);
        return false;
    }
    return true;
}

void fpmd_timer_worker_init(void)
{
    zend_ini_entry *execution = zend_hash_str_find_ptr(EG(ini_directives), ZEND_STRL("max_execution_time"));
    zend_ini_entry *input = zend_hash_str_find_ptr(EG(ini_directives), ZEND_STRL("max_input_time"));

    ticking = false;
    set_limit(0);
    if (!execution || !input || !execution->on_modify || !input->on_modify || !start_ticking()) {
        return;     /* PHP's own timer then */
    }
    ticking = true;
    if (execution->on_modify == on_execution_time) {
        return;
    }
    php_on_execution = execution->on_modify;
    php_on_input = input->on_modify;
    execution->on_modify = on_execution_time;
    input->on_modify = on_input_time;
    max_execution = EG(timeout_seconds);
    max_input = PG(max_input_time);
    EG(timeout_seconds) = 0;
    PG(max_input_time) = -1;
}

void fpmd_timer_request_begins(void)
{
    if (ticking) {
        set_limit(max_input == -1 ? max_execution : max_input);
    }
}

void fpmd_timer_execution_begins(void)
{
    if (ticking && max_input != -1) {
        set_limit(max_execution);
    }
}

/* As PHP does when the answer is complete: what is left (sessions are written, memory is freed) has no limit. */
void fpmd_timer_execution_ends(void)
{
    if (ticking) {
        set_limit(0);
        zend_atomic_bool_store_ex(&EG(timed_out), false);
    }
}

void fpmd_timer_request_end(void)
{
    if (ticking) {
        set_limit(0);
        EG(timeout_seconds) = 0;
    }
}
