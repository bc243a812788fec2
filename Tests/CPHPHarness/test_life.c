/* Time limits, memory over many requests, and what survives. */
#include "check.h"

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void test_time_limits(void)
{
    double start = now();

    fixture("loop.php", "<?php for (;;) $x = 1;");
    request("loop.php", "PHP_VALUE=max_execution_time=1", NULL);
    ERR_HAS("PHP Fatal error:  Maximum execution time of 1 second exceeded in ");
    CHECK(now() - start > 0.99 && now() - start < 1.5);
    fixture("own.php", "<?php echo ini_get('max_execution_time'); set_time_limit(2);"
                       "echo ini_get('max_execution_time'); register_shutdown_function(function () {"
                       "echo connection_status(); }); for (;;) $x = 1;");
    start = now();
    request("own.php", NULL);
    ERR_HAS("Maximum execution time of 2 seconds exceeded in ");
    BODY_IS("3022");
    CHECK(now() - start > 1.99 && now() - start < 2.5);
    /* the second limit is for the shutdown functions, too */
    fixture("late.php", "<?php register_shutdown_function(function () {"
                        "echo 'late'; for (;;) $x = 1; }); for (;;) $x = 1;");
    start = now();
    request("late.php", "PHP_ADMIN_VALUE=hard_timeout=1", "PHP_VALUE=max_execution_time=1", NULL);
    ERR_HAS("Maximum execution time of 1 second exceeded in ");
    BODY_IS("late");
    CHECK(now() - start > 1.99 && now() - start < 2.7);
    /* no limit, said by the script */
    fixture("free.php", "<?php set_time_limit(0); $t = hrtime(true); while (hrtime(true) - $t < 13e8); echo 'free';");
    request("free.php", "PHP_VALUE=max_execution_time=1", NULL);
    BODY_IS("free");
    /* the limit is gone with its request: spending more over many requests is no reason */
    fixture("spend.php", "<?php $t = hrtime(true); while (hrtime(true) - $t < 3e8); echo 'spent';");
    for (int i = 0; i < 5; i++) {
        request("spend.php", "PHP_VALUE=max_execution_time=1", NULL);
        BODY_IS("spent");
    }
    /* reading the body counts against max_input_time, the script begins anew */
    next.body = "a=1";
    next.body_length = 3;
    request("spend.php", "REQUEST_METHOD=POST", "CONTENT_TYPE=application/x-www-form-urlencoded",
            "PHP_VALUE=max_input_time=1", NULL);
    BODY_IS("spent");
}

/* A script that never comes back to the interpreter is ended by hard_timeout, with the process. */
static void test_hard_timeout(void)
{
    int status = 0, pipes[2];
    char text[512] = "";
    pid_t pid;

    fixture("stuck.php", "<?php preg_match('/^(a+)+$/', str_repeat('a', 40) . 'b');");
    if (pipe(pipes) != 0 || (pid = fork()) < 0) {
        CHECK(!"pipe and fork");
        return;
    }
    if (pid == 0) {
        dup2(pipes[1], 2);
        fpmd_php_worker_init();
        request("stuck.php", "PHP_VALUE=max_execution_time=1\npcre.backtrack_limit=1000000000000\npcre.jit=0", NULL);
        _exit(0);
    }
    close(pipes[1]);
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 124);
    if (read(pipes[0], text, sizeof text - 1) <= 0) {
        text[0] = '\0';
    }
    close(pipes[0]);
    CHECK(strstr(text, "\nFatal error: Maximum execution time of 1+2 seconds exceeded (terminated) in /"));
}

static long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (!file || fscanf(file, "%ld %ld", &size, &resident) != 2) {
        CHECK(!"statm");
    }
    if (file) {
        fclose(file);
    }
    return resident;
}

static void test_flat_memory(void)
{
    int count = getenv("HARNESS_SHORT") ? 200 : 10000;
    long before = 0;

    fixture("work.php", "<?php $a = range(1, 100); echo count($_SERVER) > 20, count(getallheaders()) > 3, $_GET['i'];"
                        "error_log('x'); header('X-A: 1'); setcookie('a', 'b');");
    fixture("throws.php", "<?php throw new Exception(str_repeat('y', 100));");
    for (int i = 0; i < count; i++) {
        if (i == count / 10) {
            before = resident_pages();
        }
        request(i % 10 == 9 ? "throws.php" : "work.php", "QUERY_STRING=i=5", "PHP_VALUE=precision=10\nmemory_limit=64M",
                "PHP_ADMIN_VALUE=html_errors=0", "HTTP_AUTHORIZATION=Basic dXNlcjpwYTpzcw==", NULL);
        CHECK(last.outcome == FPMD_DONE);
        if (i % 10 != 9) {
            BODY_IS("115");
        }
    }
    CHECK(count < 10000 || resident_pages() - before < 64);
}

/* Two workers of one zygote draw different numbers. */
static void test_reseeding(void)
{
    int numbers[2], pipes[2];

    fixture("random.php", "<?php echo mt_rand();");
    request("random.php", NULL);        /* as if preloading had drawn */
    for (int i = 0; i < 2; i++) {
        if (pipe(pipes) != 0) {
            CHECK(!"pipe");
            return;
        }
        if (fork() == 0) {
            fpmd_php_worker_init();
            request("random.php", NULL);
            int number = atoi(last.body);
            _exit(write(pipes[1], &number, sizeof number) != sizeof number);
        }
        close(pipes[1]);
        CHECK(read(pipes[0], &numbers[i], sizeof numbers[i]) == sizeof numbers[i]);
        close(pipes[0]);
        wait(NULL);
    }
    CHECK(numbers[0] != numbers[1]);
}

void test_life(void)
{
    test_reseeding();
    test_flat_memory();
    if (!getenv("HARNESS_SHORT")) {
        test_time_limits();
        test_hard_timeout();
    }
}
