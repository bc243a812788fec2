/* What the script gets: body, variables, environment, authentication, the module's functions. */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static void post(const char *script, const char *type, const char *body)
{
    char content_type[200];

    next.body = body;
    next.body_length = strlen(body);
    snprintf(content_type, sizeof content_type, "CONTENT_TYPE=%s", type);
    request(script, "REQUEST_METHOD=POST", content_type, NULL);
}

static void test_bodies(void)
{
    static const char multipart[] =
        "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nfield\r\n"
        "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n.txt\"\r\n"
        "Content-Type: text/plain\r\n\r\nfile text\r\n--B--\r\n";
    static char large[200001];
    char file[4200];

    fixture("input.php", "<?php echo file_get_contents('php://input');");
    post("input.php", "text/plain", "echo me");
    BODY_IS("echo me");
    memset(large, 'l', 200000);
    post("input.php", "text/plain", large);
    BODY_IS(large);
    fixture("form.php", "<?php echo json_encode($_POST), $_POST['b'][1] ?? '';");
    post("form.php", "application/x-www-form-urlencoded", "a=1&b[]=2&b[]=%333");
    BODY_IS("{\"a\":\"1\",\"b\":[\"2\",\"33\"]}33");
    fixture("upload.php", "<?php echo $_POST['a'], '|', $_FILES['f']['name'], '|',"
                          "file_get_contents($_FILES['f']['tmp_name']);");
    post("upload.php", "multipart/form-data; boundary=B", multipart);
    BODY_IS("field|n.txt|file text");
    /* less than announced: what there is */
    next.body = "short";
    next.body_length = 5;
    request("input.php", "REQUEST_METHOD=POST", "CONTENT_TYPE=text/plain", "CONTENT_LENGTH=500", NULL);
    BODY_IS("short");

    fixture("body.txt", "from the file");
    snprintf(file, sizeof file, "REQUEST_BODY_FILE=%s/body.txt", fixtures);
    request("input.php", "REQUEST_METHOD=POST", "CONTENT_TYPE=text/plain", "CONTENT_LENGTH=8", file, NULL);
    BODY_IS("from the");
    request("input.php", "REQUEST_METHOD=POST", "CONTENT_TYPE=text/plain", "CONTENT_LENGTH=8",
            "REQUEST_BODY_FILE=/nonexistent", NULL);
    ERR_HAS("REQUEST_BODY_FILE: open('/nonexistent') failed: No such file or directory (2)");
    post("input.php", "text/plain", "stream again");
    BODY_IS("stream again");
}

/* The environment first, then the parameters, latest first. */
static void test_variables(void)
{
    clearenv();
    setenv("ZULU", "z", 1);
    setenv("ALPHA", "local", 1);
    fixture("keys.php", "<?php foreach ($_SERVER as $k => $v) if (!is_array($v)) echo \"$k \";");
    request("keys.php", "A.B C=1", "HTTP_PROXY=http://evil", "PATH_INFO=/info", NULL);
    BODY_IS("ZULU ALPHA PATH_INFO A_B_C DOCUMENT_ROOT SCRIPT_NAME SCRIPT_FILENAME HTTP_COOKIE "
            "HTTP_UPGRADE_INSECURE_REQUESTS HTTP_CONNECTION HTTP_ACCEPT_ENCODING HTTP_ACCEPT_LANGUAGE HTTP_ACCEPT "
            "HTTP_USER_AGENT HTTP_HOST REDIRECT_STATUS SERVER_NAME SERVER_PORT SERVER_ADDR REMOTE_PORT REMOTE_ADDR "
            "SERVER_SOFTWARE GATEWAY_INTERFACE REQUEST_SCHEME SERVER_PROTOCOL CONTENT_LENGTH CONTENT_TYPE "
            "REQUEST_METHOD QUERY_STRING FCGI_ROLE PHP_SELF REQUEST_TIME_FLOAT REQUEST_TIME ");
    fixture("values.php", "<?php echo json_encode([$_SERVER['ALPHA'], getenv('ALPHA'), getenv('ALPHA', true),"
                          "getenv('HTTP_PROXY'), getenv()['HTTP_PROXY'] ?? null, $_SERVER['PHP_SELF'],"
                          "array_slice(array_keys(getenv()), 0, 3), filter_input(INPUT_SERVER, 'ALPHA'),"
                          "isset(getenv()['argv'])], JSON_UNESCAPED_SLASHES);");
    request("values.php", "ALPHA=sent", "HTTP_PROXY=http://evil", "PATH_INFO=/info", NULL);
    BODY_IS("[\"sent\",\"sent\",\"local\",false,null,\"/values.php/info\",[\"ZULU\",\"ALPHA\",\"PATH_INFO\"],"
            "\"sent\",false]");
    request("values.php", "PATH_INFO=/info", "PHP_ADMIN_VALUE=cgi.fix_pathinfo=0", NULL);
    BODY_HAS("\"/values.php\"");
    setenv("HTTP_PROXY", "http://local", 1);
    fixture("proxy.php", "<?php echo $_SERVER['HTTP_PROXY'], ' ', getenv('HTTP_PROXY');");
    request("proxy.php", "HTTP_PROXY=http://evil", NULL);
    BODY_IS("http://local http://local");
    unsetenv("HTTP_PROXY");
    fixture("both.php", "<?php echo $_ENV['X_Y'], $_ENV == getenv() ? ' same' : ' differ', count($_SERVER) > 20;");
    request("both.php", "X_Y=1", "PHP_VALUE=variables_order=EGPCS", NULL);
    BODY_IS("1 same1");
    fixture("argv.php", "<?php echo json_encode([$_SERVER['argc'], $_SERVER['argv']]);");
    request("argv.php", "QUERY_STRING=a+b", "PHP_VALUE=register_argc_argv=1", NULL);
    BODY_IS("[2,[\"a\",\"b\"]]");
    fixture("putenv.php", "<?php putenv('ALPHA=put'); putenv('NEW=1'); echo getenv('ALPHA', true), getenv('NEW');");
    request("putenv.php", NULL);
    BODY_IS("put1");
    CHECK(strcmp(getenv("ALPHA"), "local") == 0 && !getenv("NEW"));
}

static void test_authentication(void)
{
    fixture("auth.php", "<?php echo json_encode([$_SERVER['PHP_AUTH_USER'] ?? 0, $_SERVER['PHP_AUTH_PW'] ?? 0,"
                        "$_SERVER['PHP_AUTH_DIGEST'] ?? 0]);");
    request("auth.php", "HTTP_AUTHORIZATION=basic dXNlcjpwYTpzcw==", NULL);
    BODY_IS("[\"user\",\"pa:ss\",0]");
    CHECK(strcmp(last.user, "user") == 0);
    request("auth.php", NULL);
    BODY_IS("[0,0,0]");
    CHECK(*last.user == '\0');
    request("auth.php", "HTTP_AUTHORIZATION=Digest username=\"x\"", NULL);
    BODY_IS("[0,0,\"username=\\\"x\\\"\"]");
    request("auth.php", "HTTP_AUTHORIZATION=Bearer x", NULL);
    BODY_IS("[0,0,0]");
}

static void test_functions(void)
{
    fixture("functions.php",
            "<?php foreach (['fastcgi_finish_request', 'apache_request_headers', 'getallheaders', 'fpm_get_status',"
            "'dl', 'pcntl_fork', 'cli_set_process_title', 'chroot'] as $f) echo (int)function_exists($f);"
            "echo ' ', PHP_SAPI, ' ', (int)(extension_loaded('Zend OPcache')"
            "? opcache_get_status(false)['opcache_enabled'] : true), ' ',"
            "ini_get('fpm.config'), ' ', ini_get('html_errors'), ' ', ini_get('max_execution_time'), ' ',"
            "php_ini_loaded_file(), ' ', PHP_CONFIG_FILE_SCAN_DIR, ' ', (int)getenv('PHP_INI_SCAN_DIR');");
    request("functions.php", NULL);
    BODY_IS("11110000 fpm-fcgi 1 /some/where 1 30 /etc/php/8.2/fpm/php.ini /etc/php/8.2/fpm/conf.d 0");
    fixture("allheaders.php", "<?php foreach (getallheaders() as $k => $v) echo \"$k=$v \";");
    request("allheaders.php", "=HTTP_ACCEPT", "=HTTP_USER_AGENT", "=HTTP_ACCEPT_LANGUAGE", "=HTTP_COOKIE",
            "CONTENT_LENGTH=0", "HTTP_X_MY_ID=7", NULL);
    BODY_IS("X-My-Id=7 Upgrade-Insecure-Requests=1 Connection=keep-alive Accept-Encoding=gzip, deflate, br "
            "Host=www.example.test Content-Length=0 Content-Type= ");
    fixture("status.php", "<?php $s = fpm_get_status(); echo implode(' ', array_keys($s)), '|', count($s['procs']),"
                          "'|', implode(' ', array_keys($s['procs'][1])), '|', $s['procs'][1]['pid'],"
                          "$s['procs'][0]['request-method'], $s['procs'][0]['last-request-cpu'];");
    request("status.php", NULL);
    BODY_IS("pool process-manager start-time start-since accepted-conn listen-queue max-listen-queue "
            "listen-queue-len idle-processes active-processes total-processes max-active-processes "
            "max-children-reached slow-requests procs|2|pid state start-time start-since requests "
            "request-duration request-method request-uri query-string request-length user script "
            "last-request-cpu last-request-memory|101-1.5");
    fixture("info.php", "<?php phpinfo(INFO_MODULES);");
    request("info.php", NULL);
    BODY_HAS("<tr><td class=\"e\">php-fpm </td><td class=\"v\">active </td></tr>");
    BODY_HAS("<td class=\"e\">fastcgi.logging</td><td class=\"v\">On</td>");
    fixture("header.php", "<?php header('X-A: 1'); header('X-Empty:'); header('Content-type: a/b');");
    request("header.php", NULL);
    CHECK(strcmp(last.content_type, "a/b") == 0);
}

/* The script runs in its directory; shutdown functions and destructors in the worker's. */
static void test_directory(void)
{
    char here[4096], expected[12400];

    fixture("sub/cwd.php", "<?php class D { function __destruct() { echo getcwd(), \"\\n\"; } } $d = new D;"
                           "register_shutdown_function(function () { echo getcwd(), \"\\n\"; });"
                           "echo getcwd(), \"\\n\", include './other.php'; chdir('/');");
    fixture("sub/other.php", "<?php return 'included ';");
    if (!getcwd(here, sizeof here)) {
        here[0] = '\0';
    }
    snprintf(expected, sizeof expected, "%s/sub\nincluded %s\n%s\n", fixtures, here, here);
    request("sub/cwd.php", NULL);
    BODY_IS(expected);
    request("sub/cwd.php", NULL);
    BODY_IS(expected);
}

static int descriptors(void)
{
    int count = 0;

    for (int number = 0; number < 256; number++) {
        count += fcntl(number, F_GETFD) >= 0;
    }
    return count;
}

static void pass_time(int64_t nanoseconds)
{
    struct timespec begin, now;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000000000 + now.tv_nsec - begin.tv_nsec <= nanoseconds);
}

/* Requests that follow each other closely enough share a descriptor of the directory: one more than `before`. */
static void warm_up(const char *script, int before)
{
    for (int i = 0; i < 1000 && descriptors() == before; i++) {
        request(script, NULL);
    }
    CHECK(descriptors() == before + 1);
}

/* Moves the directory away and puts one there that says `text`. */
static void replace_directory(const char *text)
{
    char from[4200], to[4200];

    snprintf(from, sizeof from, "%s/turned", fixtures);
    snprintf(to, sizeof to, "%s/turned-%s", fixtures, text);
    CHECK(rename(from, to) == 0);
    fixture("turned/which.php", "<?php echo file_get_contents('which');");
    fixture("turned/which", text);
}

static void test_warm_directory(void)
{
    static const char script[] = "turned/which.php";
    int before;

    fixture("turned/which.php", "<?php echo file_get_contents('which');");
    fixture("turned/which", "first");
    request(script, NULL);          /* opens what PHP opens once */
    fpmd_php_rest();
    before = descriptors();
    warm_up(script, before);
    request(script, NULL);
    BODY_IS("first");
    /* an idle worker holds nothing, and what comes then finds what is there then */
    fpmd_php_rest();
    CHECK(descriptors() == before);
    replace_directory("second");
    request(script, NULL);
    BODY_IS("second");
    /* neither is anything used for long by a worker that is never idle */
    warm_up(script, before);
    replace_directory("third");
    pass_time(FPMD_WARM_NS);
    request(script, NULL);
    BODY_IS("third");
    /* another directory */
    warm_up(script, before);
    request("sub/cwd.php", NULL);
    CHECK(descriptors() == before);
    fixture("turned/moves.php", "<?php chdir('/'); echo getcwd();");
    warm_up("turned/moves.php", before);
    request("turned/moves.php", NULL);
    BODY_IS("/");
    request(script, NULL);
    BODY_IS("third");
    fpmd_php_rest();
    CHECK(descriptors() == before);
}

/* PHP prepares SIGPROF in each request; the kernel is asked when that changes anything. */
static void test_time_limit_signal(void)
{
    struct sigaction action = { .sa_handler = SIG_IGN }, now;
    sigset_t signals, blocked;

    sigemptyset(&action.sa_mask);
    sigemptyset(&signals);
    sigaddset(&signals, SIGPROF);
    fixture("nothing.php", "");
    request("nothing.php", NULL);
    /* signal() is not seen, so nothing seems to be changed */
    signal(SIGPROF, SIG_IGN);
    request("nothing.php", NULL);
    sigaction(SIGPROF, NULL, &now);
    CHECK(now.sa_handler == SIG_IGN);
    CHECK(sigaction(SIGPROF, &action, NULL) == 0);
    request("nothing.php", NULL);
    sigaction(SIGPROF, NULL, &now);
    CHECK(now.sa_handler != SIG_IGN);
    CHECK(sigprocmask(SIG_BLOCK, &signals, NULL) == 0);
    request("nothing.php", NULL);
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    CHECK(!sigismember(&blocked, SIGPROF));
    CHECK(pthread_sigmask(SIG_BLOCK, &signals, NULL) == 0);
    request("nothing.php", NULL);
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    CHECK(!sigismember(&blocked, SIGPROF));
}

void test_requests(void)
{
    test_bodies();
    test_variables();
    test_authentication();
    test_functions();
    test_directory();
    test_warm_directory();
    test_time_limit_signal();
}
