/* Runs the groups of tests, each in a worker forked from one started PHP, as the zygote does it. */
#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

/* AddressSanitizer refuses the way PHP loads extensions. */
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

int failures;

static void in_worker(const char *name, void (*group)(void))
{
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        failures = 0;
        fpmd_php_worker_init();
        group();
        fflush(NULL);
        _exit(failures > 100 ? 100 : failures);
    }
    waitpid(pid, &status, 0);
    if (status != 0) {
        failures++;
        fprintf(stderr, "%s: %s %d\n", name, WIFSIGNALED(status) ? "killed by signal" : "failures:",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
}

/* A PHP started differently, in a process of its own. */
static void in_process(const char *name, void (*test)(void))
{
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        failures = 0;
        test();
        fflush(NULL);
        _exit(failures > 100 ? 100 : failures);
    }
    waitpid(pid, &status, 0);
    if (status != 0) {
        failures++;
        fprintf(stderr, "%s: status %x\n", name, (unsigned)status);
    }
}

void run_tests(void)
{
    static const char *const defines[] = {
        "opcache.revalidate_freq=0", "opcache.file_update_protection=0", "error_reporting=E_ALL",
        "display_errors=0", "log_errors=1", "fpm.config=/some/where", NULL };

    if (!SANITIZED) {
        in_process("extensions", test_extensions);
        in_process("preloading", test_preloading);
    }
    harness_start(defines);
    in_worker("responses", test_responses);
    in_worker("requests", test_requests);
    in_worker("settings", test_settings);
    in_worker("opcache", test_opcache);
    in_worker("life", test_life);
}
