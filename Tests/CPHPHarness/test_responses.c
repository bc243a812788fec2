/* What the client gets: headers, status lines, refusals, flushing and the ends of scripts. */
#include "check.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TYPE "Content-type: text/html; charset=UTF-8\r\n"

static char long_line[1100];

/* Section "headers and status" of the contract: script, parameter, header block. */
static void test_headers(void)
{
    static const struct { const char *code, *parameter, *block; } table[] = {
        { "echo 1;", NULL, TYPE },
        { "echo 1;", "PHP_VALUE=cgi.nph=1", "Status: 200 OK\r\n" TYPE },
        { "echo 1;", "PHP_VALUE=expose_php=0\ndefault_charset=", "Content-type: text/html\r\n" },
        { "http_response_code(404);", NULL, "Status: 404 Not Found\r\n" TYPE },
        { "http_response_code(599);", NULL, "Status: 599\r\n" TYPE },
        { "header('HTTP/1.1 201 Made');", NULL, "Status: 201 Made\r\n" TYPE },
        { "header('HTTP/1.1 201 Made');", "PHP_VALUE=cgi.rfc2616_headers=1", "HTTP/1.1 201 Made\r\n" TYPE },
        { "http_response_code(201);", "PHP_VALUE=cgi.rfc2616_headers=1", "Status: 201 Created\r\n" TYPE },
        { "header('HTTP/1.1 201 ' . str_repeat('A', 1014));", NULL, long_line },
        { "header('Status: 206 Mine'); http_response_code(404);", NULL, "Status: 206 Mine\r\n" TYPE },
        { "header('A: 1'); header('Status: 404 X'); header('Status: 405 Y', false);", NULL,
          "A: 1\r\nStatus: 404 X\r\n" TYPE },
        { "header('HTTP/1.1 404 N'); header('Status: 405 M');", NULL, "Status: 404 N\r\n" TYPE },
        { "header('Content-Type: text/x'); http_response_code(304);", NULL, "Status: 304 Not Modified\r\n" },
        { "header('Content-Type: text/plain'); header('X-A: 1'); header('X-A: 2', false);", NULL,
          "Content-type: text/plain;charset=UTF-8\r\nX-A: 1\r\nX-A: 2\r\n" },
        { "header('Location: /x');", NULL, "Status: 302 Found\r\nLocation: /x\r\n" TYPE },
    };
    char expected[2048];

    snprintf(long_line, sizeof long_line, "Status: 201 %0*d\r\n%s", 1011, 0, TYPE);
    memset(long_line + 12, 'A', 1011);
    fixture("eval.php", "<?php eval($_GET['c']);");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char query[1024] = "QUERY_STRING=c=";
        size_t used = strlen(query);
        for (const char *c = table[i].code; *c; c++) {
            used += (size_t)snprintf(query + used, sizeof query - used, "%%%02X", (unsigned char)*c);
        }
        request("eval.php", query, table[i].parameter, NULL);
        snprintf(expected, sizeof expected, "%s\r\n", table[i].block);
        check(strncmp(last.out, expected, strlen(expected)) == 0, __FILE__, __LINE__, table[i].code);
    }
}

static void test_hello(void)
{
    fixture("hello.php", "<?php echo 'Hello';");
    request("hello.php", NULL);
    OUT_IS(TYPE "\r\nHello");
    ERR_IS("");
    CHECK(last.outcome == FPMD_DONE && last.response_code == 200 && last.executing == 1 && last.executed == 1 && last.ended == 1 && last.completed == 1);
    CHECK(getenv("USE_ZEND_ALLOC") || last.memory_peak >= 2 << 20);
    request("hello.php", "REQUEST_METHOD=HEAD", NULL);
    OUT_IS(TYPE "\r\n");
    next.no_method = true;
    request("hello.php", NULL);
    OUT_IS(TYPE "\r\n");
    CHECK(last.executing == 0 && last.executed == 1 && last.ended == 1 && last.completed == 1 && last.response_code == 200);
}

static void test_refusals(void)
{
    static const char *const php[] = { ".php" };

    next.no_script = true;
    request("hello.php", NULL);
    OUT_IS("Status: 404 Not Found\r\n" TYPE "\r\nFile not found.\n");
    ERR_IS("Primary script unknown");
    CHECK(strcmp(last.log, "DEBUG: Primary script unknown\n") == 0 && last.response_code == 404);
    next.no_script_parameter = true;
    request("hello.php", NULL);
    OUT_IS("Status: 404 Not Found\r\n" TYPE "\r\nFile not found.\n");

    request("missing.php", NULL);
    OUT_IS("Status: 404 Not Found\r\n" TYPE "\r\nNo input file specified.\n");
    ERR_HAS("Unable to open primary script: ");
    ERR_HAS("/missing.php (No such file or directory)");
    CHECK(strncmp(last.log, "ERROR: ", 7) == 0 && last.executing == 0);
    next.no_script = true;
    request("hello.php", "PHP_ADMIN_VALUE=fastcgi.logging=0", NULL);
    ERR_IS("");
    CHECK(strcmp(last.log, "DEBUG: Primary script unknown\n") == 0);

    fpmd_php_set_limit_extensions(php, 1);
    fixture("page.html", "<?php echo 'ran';");
    fixture("root/hello.php", "<?php echo 'in root';");
    fixture("root/page.html", "<?php echo 'no';");
    request("page.html", NULL);
    OUT_IS("Status: 403 Forbidden\r\n" TYPE "\r\nAccess denied.\n");
    ERR_HAS("Access to the script '");
    CHECK(strncmp(last.log, "NOTICE: ", 8) == 0);
    request(".php", NULL);
    BODY_IS("No input file specified.\n");      /* the path is longer than the suffix */

    /* doc_root: the file opened is another one, and that one is examined */
    char root[4200];
    snprintf(root, sizeof root, "PHP_ADMIN_VALUE=doc_root=%s/root/", fixtures);
    next.request_uri = "hello.php";
    request("hello.php", root, NULL);
    BODY_IS("in root");
    next.request_uri = "/page.html";
    request("hello.php", root, NULL);
    BODY_IS("Access denied.\n");
    fpmd_php_set_limit_extensions(NULL, 0);
    request("page.html", NULL);
    BODY_IS("ran");
}

static void test_page(void)
{
    static const fpmd_page page = {
        .headers = { "Content-Type: text/plain", "X-P: 1", NULL }, .body = "pong", .body_length = 4 };
    static const fpmd_page error = { .headers = { NULL }, .status = 500, .body = "", .body_length = 0 };

    next.page = &page;
    request("hello.php", NULL);
    OUT_IS("Content-type: text/plain;charset=UTF-8\r\nX-P: 1\r\n\r\npong");
    CHECK(last.executing == 1 && last.executed == 1 && last.ended == 1 && last.completed == 1);
    next.page = &page;
    request("hello.php", "REQUEST_METHOD=HEAD", NULL);
    BODY_IS("");
    next.page = &error;
    request("hello.php", NULL);
    CHECK(last.response_code == 500);
}

static void test_endings(void)
{
    fixture("fatal.php", "<?php nosuch();");
    request("fatal.php", NULL);
    OUT_IS("Status: 500 Internal Server Error\r\n" TYPE "\r\n");
    ERR_HAS("PHP message: PHP Fatal error:  Uncaught Error: Call to undefined function nosuch()");
    request("fatal.php", "PHP_VALUE=fastcgi.error_header=\"HTTP/1.1 550 PHP Error\"", NULL);
    OUT_IS("Status: 550 PHP Error\r\n" TYPE "\r\n");
    CHECK(last.response_code == 550);
    request("hello.php", NULL);
    OUT_IS(TYPE "\r\nHello");

    fixture("parse.php", "<?php if (");
    request("parse.php", NULL);
    OUT_IS("Status: 500 Internal Server Error\r\n" TYPE "\r\n");
    ERR_HAS("PHP Parse error:  ");
    fixture("exit.php", "<?php echo 'a'; exit(3);");
    request("exit.php", NULL);
    OUT_IS(TYPE "\r\na");
    fixture("memory.php", "<?php $a = ''; for (;;) $a .= str_repeat('x', 1000000);");
    if (!getenv("USE_ZEND_ALLOC")) {        /* the limit is that of PHP's own allocator */
        request("memory.php", "PHP_VALUE=memory_limit=20M", NULL);
        ERR_HAS("PHP Fatal error:  Allowed memory size of 20971520 bytes exhausted");
    }
    request("hello.php", NULL);
    OUT_IS(TYPE "\r\nHello");
}

static void test_output(void)
{
    fixture("large.php", "<?php echo str_repeat('x', 100000), 'end';");
    request("large.php", NULL);
    CHECK(strlen(last.body) == 100003 && strcmp(last.body + 100000, "end") == 0);
    CHECK(last.whole_bytes == WHOLE);
    fixture("pieces.php", "<?php $three = 3 + count($_GET);      /* else opcache makes one piece of all */"
                          "echo 'a', str_repeat('b', $three * 65528), 'c', str_repeat('d', 65524 + $three), 'e';");
    request("pieces.php", "PHP_VALUE=output_buffering=0", NULL);
    CHECK(strlen(last.body) == 4 * WHOLE + 2);
    CHECK(last.whole_bytes == 3 * WHOLE);
    CHECK(last.body[0] == 'a' && last.body[1 + 3 * WHOLE] == 'c' && last.body[4 * WHOLE + 1] == 'e');
    CHECK(strspn(last.body + 1, "b") == 3 * WHOLE && strspn(last.body + 2 + 3 * WHOLE, "d") == WHOLE - 1);
    fixture("flush.php", "<?php flush(); header('X-A: 1'); echo 'a'; flush(); echo 'b';");
    request("flush.php", NULL);
    OUT_IS("X-A: 1\r\n" TYPE "\r\nab");
    CHECK(last.flushes == 2);

    /* the client goes away: the script ends there unless it asked to go on */
    fixture("gone.php", "<?php register_shutdown_function(function () { error_log('status ' . connection_status());"
                        " }); echo str_repeat('x', 50000); error_log('went on');");
    next.gone_after = 10000;
    request("gone.php", NULL);
    CHECK(fpmd_php_aborted());
    ERR_IS("PHP message: status 1");
    next.gone_after = 10000;
    request("gone.php", "PHP_VALUE=ignore_user_abort=1", NULL);
    ERR_IS("PHP message: went on; PHP message: status 1");
    fixture("gone-large.php", "<?php register_shutdown_function(function () { error_log('status ' ."
                              "connection_status()); }); echo str_repeat('x', 500000); error_log('went on');");
    next.gone_after = 10000;
    request("gone-large.php", NULL);
    CHECK(fpmd_php_aborted());
    ERR_IS("PHP message: status 1");
    fixture("header.php", "<?php header('X-B: 2'); echo 'ok';");
    request("header.php", NULL);
    OUT_IS("X-B: 2\r\n" TYPE "\r\nok");
    CHECK(!fpmd_php_aborted());
    ERR_IS("");
}

static void test_finish(void)
{
    fixture("finish.php", "<?php echo 'before'; $a = fastcgi_finish_request(); echo 'after'; header('X: y');"
                          "$b = fastcgi_finish_request(); touch(__DIR__ . \"/finished-$a-$b\"); exit(255);");
    request("finish.php", "PHP_VALUE=fastcgi.error_header=\"HTTP/1.1 550 PHP Error\"", NULL);
    OUT_IS(TYPE "\r\nbefore");
    CHECK(last.out_at_finish == last.out_length && last.response_code == 200);
    char path[4200];
    snprintf(path, sizeof path, "%s/finished-1-", fixtures);
    CHECK(remove(path) == 0);
    next.keep = true;
    request("finish.php", NULL);
    OUT_IS(TYPE "\r\nbefore");
    snprintf(path, sizeof path, "%s/finished-1-1", fixtures);
    CHECK(remove(path) == 0);

    /* closed: more than a buffer, or a flush, ends the script; kept: it vanishes */
    fixture("after.php", "<?php echo 1; fastcgi_finish_request(); if ($_GET) { echo 2; flush(); } else"
                         "{ echo str_repeat('x', 20000); } touch(__DIR__ . '/went-on');");
    snprintf(path, sizeof path, "%s/went-on", fixtures);
    request("after.php", NULL);
    CHECK(fpmd_php_aborted() && remove(path) != 0);
    request("after.php", "QUERY_STRING=a=1", NULL);
    CHECK(fpmd_php_aborted() && remove(path) != 0);
    fixture("after-large.php", "<?php echo 1; fastcgi_finish_request(); echo str_repeat('x', 200000);"
                               "touch(__DIR__ . '/went-on');");
    request("after-large.php", NULL);
    CHECK(fpmd_php_aborted() && remove(path) != 0);
    next.keep = true;
    request("after-large.php", NULL);
    OUT_IS(TYPE "\r\n1");
    CHECK(!fpmd_php_aborted() && remove(path) == 0);
    request("after.php", "QUERY_STRING=a=1", "PHP_VALUE=ignore_user_abort=1", NULL);
    CHECK(remove(path) == 0);
    next.keep = true;
    request("after.php", NULL);
    CHECK(!fpmd_php_aborted() && remove(path) == 0);
    BODY_IS("1");
}

static void test_log(void)
{
    fixture("log.php", "<?php error_log('one'); error_log(str_repeat('a', 4000)); trigger_error('w', E_USER_WARNING);");
    fpmd_php_set_log_limit(2048);
    request("log.php", NULL);
    fpmd_php_set_log_limit(1024);
    ERR_HAS("PHP message: one; PHP message: aaaa");
    ERR_HAS("; PHP message: PHP Warning:  w in ");
    /* "NOTICE: PHP message: " + 2023 bytes + "..." + newline are 2048 */
    char *line = strchr(last.log, '\n') + 1, *end = strchr(line, '\n');
    CHECK(end - line == 2047 && strncmp(line, "NOTICE: PHP message: a", 22) == 0);
    CHECK(strncmp(end - 4, "a...", 4) == 0);
}

/* Without root's rights. */
static void test_unreadable(void)
{
    char path[4200];
    int status = 0;
    pid_t pid;

    fixture("secret.php", "<?php echo 'secret';");
    snprintf(path, sizeof path, "%s/secret.php", fixtures);
    chmod(path, 0);
    chmod(fixtures, 0755);
    if ((pid = fork()) == 0) {
        failures = 0;
        if (geteuid() == 0 && (setgid(65534) || setuid(65534))) {
            _exit(1);
        }
        request("secret.php", NULL);
        OUT_IS("Status: 403 Forbidden\r\n" TYPE "\r\nAccess denied.\n");
        ERR_HAS("Unable to open primary script: ");
        ERR_HAS(" (Permission denied)");
        _exit(failures);
    }
    waitpid(pid, &status, 0);
    CHECK(status == 0);
}

/* Kilobytes that only this process has. */
static long private_memory(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    char line[256];
    long found = -1;

    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, "Private_Dirty: %ld kB", &found);
    }
    if (file) {
        fclose(file);
    }
    return found;
}

/* What requests have used goes back between them: of the chunk that PHP keeps, and the spare ones. */
static void test_release_memory(void)
{
    long used;

    fixture("fill.php", "<?php $all = range(1, 40000); foreach ($all as $i) { $all[$i - 1] = [$i, $i + 1]; }"
                        "echo count($all), ' ', ini_get('memory_limit');");
    fixture("held.php", "<?php echo memory_get_usage(true), ' ', strlen(str_repeat('x', 256 << 20));");
    for (int i = 0; i < 10; i++) {
        request("fill.php", NULL);
    }
    BODY_IS("40000 128M");
    used = private_memory();
    fpmd_php_release_memory();
    if (!getenv("USE_ZEND_ALLOC")) {        /* more than the chunk that is kept */
        CHECK(used > 6 << 10 && private_memory() < used - (6 << 10));
    }
    /* all is as before, the limit too */
    for (int i = 0; i < 2; i++) {
        request("fill.php", NULL);
        BODY_IS("40000 128M");
        request("held.php", NULL);
        if (!getenv("USE_ZEND_ALLOC")) {
            ERR_HAS("Allowed memory size of 134217728 bytes exhausted");
        }
        fpmd_php_release_memory();
    }
}

/* PHP gives up before the script is reached: the client still gets its answer. */
static void test_failed_start(void)
{
    static char form[3000001];
    int status = 0;
    pid_t pid;

    memset(form, 'a', sizeof form - 1);
    memcpy(form, "a[]=", 4);
    for (size_t i = 4; i < sizeof form - 5; i += 4) {
        memcpy(form + i, "&a[]", 4);
    }
    if (!getenv("USE_ZEND_ALLOC") && (pid = fork()) == 0) {
        failures = 0;
        next.body = form;
        next.body_length = sizeof form - 1;
        request("hello.php", "REQUEST_METHOD=POST", "CONTENT_TYPE=application/x-www-form-urlencoded",
                "PHP_VALUE=max_input_vars=1000000\nmemory_limit=10M", NULL);
        CHECK(last.outcome == FPMD_WORKER_LOST && last.executed == 1);
        OUT_IS("Status: 500 Internal Server Error\r\n" TYPE "\r\n");
        ERR_HAS("Allowed memory size of 10485760 bytes exhausted");
        _exit(failures);
    }
    if (!getenv("USE_ZEND_ALLOC")) {
        waitpid(pid, &status, 0);
        CHECK(status == 0);
    }
}

void test_responses(void)
{
    test_hello();
    test_headers();
    test_refusals();
    test_page();
    test_endings();
    test_output();
    test_finish();
    test_log();
    test_unreadable();
    test_release_memory();
    test_failed_start();
}
