/*
 * What a script forks (pcntl_fork(), FFI) has the worker's connections, and may live for long. Programs that it starts have
 * not: they are closed at exec.
 */
#include "sapi.h"

#include <pthread.h>

static bool is_prepared, has_forked, is_fork;

static void in_parent(void)
{
    has_forked = true;
}

static void in_child(void)
{
    is_fork = true;
}

void fpmd_fork_worker_init(void)
{
    has_forked = is_fork = false;
    if (!is_prepared) {
        is_prepared = pthread_atfork(NULL, in_parent, in_child) == 0;
    }
}

bool fpmd_php_has_forked(void)
{
    return has_forked;
}

bool fpmd_php_is_fork(void)
{
    return is_fork;
}

int fpmd_php_exit_status(void)
{
    return EG(exit_status) & 0xff;
}
