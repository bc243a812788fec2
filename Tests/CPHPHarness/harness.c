/* The host and the command line: tests, one request, or a benchmark. */
#include "harness.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

client next;
answer last;
char fixtures[] = "/tmp/cphp-harness-XXXXXX";

/* ---- the host -------------------------------------------------------------------------------------- */

#define BUFFER 8184
#define PARAMETERS 128

static uint8_t buffer[BUFFER];
static fpmd_output output = { .base = buffer, .limit = BUFFER, .whole = WHOLE };
static size_t body_at, out_capacity;
static bool finished, keeping;
static bool measuring;              /* benchmarks throw the output away */

static void append(char **text, size_t *length, const char *bytes, size_t count)
{
    *text = realloc(*text, *length + count + 1);
    memcpy(*text + *length, bytes, count);
    *length += count;
    (*text)[*length] = '\0';
}

static void send_buffer(void)
{
    if (measuring) {
        output.used = 0;
        return;
    }
    if (last.out_length + output.used + 1 > out_capacity) {
        out_capacity = (last.out_length + output.used + 1) * 2;
        last.out = realloc(last.out, out_capacity);
    }
    memcpy(last.out + last.out_length, output.base, output.used);
    last.out_length += output.used;
    last.out[last.out_length] = '\0';
    output.used = 0;
}

static bool host_drain(void *context, bool flush)
{
    (void)context;
    last.flushes += flush;
    if (finished) {
        output.used = 0;
        return keeping;
    }
    if (next.gone_after && last.out_length + output.used > next.gone_after) {
        output.used = 0;
        return false;
    }
    send_buffer();
    return true;
}

static ssize_t host_send_whole(void *context, const char *bytes, size_t length)
{
    size_t count = length / WHOLE * WHOLE;

    if (finished) {
        return 0;
    }
    if (!host_drain(context, false) || (next.gone_after && last.out_length + count > next.gone_after)) {
        return -1;
    }
    if (!measuring) {
        append(&last.out, &last.out_length, bytes, count);
        out_capacity = last.out_length + 1;
    }
    last.whole_bytes += count;
    return (ssize_t)count;
}

static void host_write_error(void *context, const char *bytes, size_t length)
{
    size_t have = last.err ? strlen(last.err) : 0;
    (void)context;
    if (finished) {
        return;
    }
    if (have) {
        append(&last.err, &have, "; ", 2);
    }
    append(&last.err, &have, bytes, length);
}

static void host_log(void *context, fpmd_level level, const char *bytes, size_t length)
{
    static const char *const names[] = { "", "DEBUG: ", "NOTICE: ", "WARNING: ", "ERROR: ", "ALERT: " };
    size_t have = last.log ? strlen(last.log) : 0;
    (void)context;
    append(&last.log, &have, names[level], strlen(names[level]));
    append(&last.log, &have, bytes, length);
    append(&last.log, &have, "\n", 1);
}

static ssize_t host_read_body(void *context, char *bytes, size_t length)
{
    size_t left = next.body_length - body_at;
    (void)context;
    length = length < left ? length : left;
    length = length < 1000 ? length : 1000;     /* as a stream: in pieces */
    memcpy(bytes, next.body + body_at, length);
    body_at += length;
    return (ssize_t)length;
}

static bool host_finish(void *context)
{
    (void)context;
    if (finished) {
        output.used = 0;
        return keeping;
    }
    send_buffer();
    last.out_at_finish = last.out_length;
    finished = true;
    keeping = next.keep;
    return true;
}

static void host_executing(void *context)
{
    (void)context;
    last.executing++;
}

static void host_executed(void *context, int response_code, size_t memory_peak)
{
    size_t length;
    const char *value;
    (void)context;
    last.executed++;
    last.response_code = response_code;
    last.memory_peak = memory_peak;
    if (measuring) {
        return;
    }
    snprintf(last.user, sizeof last.user, "%s", fpmd_php_auth_user() ? fpmd_php_auth_user() : "");
    value = fpmd_php_response_header("Content-type", 12, &length);
    snprintf(last.content_type, sizeof last.content_type, "%.*s", value ? (int)length : 0, value ? value : "");
}

static void host_ended(void *context)
{
    (void)context;
    /* Never after the other. */
    last.ended += last.completed == 0;
}

static void host_complete(void *context)
{
    (void)context;
    last.completed++;
}

static ssize_t host_status(void *context, fpmd_pool_status *pool, fpmd_process_status *processes,
                           size_t capacity)
{
    (void)context;
    snprintf(pool->name, sizeof pool->name, "www");
    snprintf(pool->process_manager, sizeof pool->process_manager, "static");
    pool->start_time = 1000;
    pool->accepted_conn = 7;
    for (size_t i = 0; i < 2 && i < capacity; i++) {
        processes[i] = (fpmd_process_status){ .pid = 100 + (int64_t)i, .state = "Idle", .last_request_cpu = 1.5 };
        snprintf(processes[i].uri, sizeof processes[i].uri, "/x");
    }
    return 2;
}

static const fpmd_host host = {
    .output = &output, .drain = host_drain, .send_whole = host_send_whole, .write_error = host_write_error,
    .log = host_log,
    .read_body = host_read_body, .finish = host_finish, .executing = host_executing,
    .executed = host_executed, .ended = host_ended, .complete = host_complete, .status = host_status,
};

/* ---- requests -------------------------------------------------------------------------------------- */

static fpmd_parameter parameters[PARAMETERS];
static size_t parameter_count;

static void set_parameter(const char *name, size_t name_length, const char *value)
{
    size_t i = 0;
    while (i < parameter_count
           && (parameters[i].name_length != name_length || memcmp(parameters[i].name, name, name_length))) {
        i++;
    }
    if (i == PARAMETERS) {
        abort();
    }
    if (i == parameter_count) {
        parameters[i].name = strndup(name, name_length);
        parameters[i].name_length = (uint32_t)name_length;
        parameter_count++;
    } else {
        free((char *)parameters[i].value);
    }
    parameters[i].value = strdup(value);
    parameters[i].value_length = (uint32_t)strlen(value);
}

static const char *get_parameter(const char *name)
{
    for (size_t i = 0; i < parameter_count; i++) {
        if (strcmp(parameters[i].name, name) == 0) {
            return parameters[i].value;
        }
    }
    return NULL;
}

static void drop_parameter(const char *name)
{
    for (size_t i = 0; i < parameter_count; i++) {
        if (strcmp(parameters[i].name, name) == 0) {
            free((char *)parameters[i].name);
            free((char *)parameters[i].value);
            memmove(parameters + i, parameters + i + 1, (--parameter_count - i) * sizeof *parameters);
            return;
        }
    }
}

static void set_usual_parameters(const char *script)
{
    static const char *const usual[][2] = {
        { "FCGI_ROLE", "RESPONDER" }, { "QUERY_STRING", "" }, { "REQUEST_METHOD", "GET" }, { "CONTENT_TYPE", "" }, { "CONTENT_LENGTH", "" },
        { "SERVER_PROTOCOL", "HTTP/1.1" }, { "REQUEST_SCHEME", "http" }, { "GATEWAY_INTERFACE", "CGI/1.1" },
        { "SERVER_SOFTWARE", "nginx/1.22.1" }, { "REMOTE_ADDR", "127.0.0.1" }, { "REMOTE_PORT", "45678" },
        { "SERVER_ADDR", "127.0.0.1" }, { "SERVER_PORT", "80" }, { "SERVER_NAME", "www.example.test" },
        { "REDIRECT_STATUS", "200" }, { "HTTP_HOST", "www.example.test" },
        { "HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
                             "Chrome/126.0.0.0 Safari/537.36" },
        { "HTTP_ACCEPT", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8" },
        { "HTTP_ACCEPT_LANGUAGE", "en-GB,en;q=0.9,de;q=0.7" }, { "HTTP_ACCEPT_ENCODING", "gzip, deflate, br" },
        { "HTTP_CONNECTION", "keep-alive" }, { "HTTP_UPGRADE_INSECURE_REQUESTS", "1" },
        { "HTTP_COOKIE", "session=6f1c2d9e8b7a4f3c9d0e1f2a3b4c5d6e; consent=yes; theme=dark" } };
    char path[4096];

    while (parameter_count) {
        drop_parameter(parameters[0].name);
    }
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        set_parameter(usual[i][0], strlen(usual[i][0]), usual[i][1]);
    }
    if (*script == '/') {
        snprintf(path, sizeof path, "%s", script);
    } else {
        snprintf(path, sizeof path, "%s/%s", fixtures, script);
    }
    set_parameter("SCRIPT_FILENAME", 15, path);
    set_parameter("SCRIPT_NAME", 11, strrchr(path, '/'));
    set_parameter("DOCUMENT_ROOT", 13, fixtures);
}

static void apply(const char *parameter)
{
    const char *equals = strchr(parameter, '=');
    if (equals == parameter) {
        drop_parameter(parameter + 1);
    } else {
        set_parameter(parameter, (size_t)(equals - parameter), equals + 1);
    }
}

static void forget_last(void)
{
    free(last.err);
    free(last.log);
    char *out = last.out;
    last = (answer){ .out = out };
    if (out) {
        *out = '\0';
    }
    body_at = 0;
    finished = keeping = false;
}

static fpmd_request description(void)
{
    const char *length = get_parameter("CONTENT_LENGTH");
    fpmd_request request = {
        .parameters = parameters, .parameter_count = parameter_count,
        .method = next.no_method ? NULL : get_parameter("REQUEST_METHOD"),
        .query_string = get_parameter("QUERY_STRING"), .content_type = get_parameter("CONTENT_TYPE"),
        .cookies = get_parameter("HTTP_COOKIE"), .authorization = get_parameter("HTTP_AUTHORIZATION"),
        .request_uri = next.request_uri ? next.request_uri : get_parameter("SCRIPT_NAME"),
        .script = next.no_script ? NULL : get_parameter("SCRIPT_FILENAME"),
        .content_length = length ? atol(length) : 0,
        .has_script_parameter = !next.no_script_parameter, .page = next.page,
    };
    if (next.no_script_parameter) {
        request.script = NULL;
        request.request_uri = NULL;
        request.query_string = NULL;
    }
    return request;
}

static answer *handle(void)
{
    fpmd_request request = description();

    forget_last();
    last.outcome = fpmd_php_handle(&request);
    if (!finished) {
        if (!next.gone_after || last.out_length + output.used <= next.gone_after) {
            send_buffer();
        }
    }
    output.used = 0;
    if (!last.out) {
        last.out = calloc(1, 1);
    }
    if (!last.err) {
        last.err = calloc(1, 1);
    }
    if (!last.log) {
        last.log = calloc(1, 1);
    }
    char *blank = strstr(last.out, "\r\n\r\n");
    last.body = blank ? blank + 4 : "";
    next = (client){ 0 };
    return &last;
}

answer *request_array(const char *script, const char *const *list)
{
    set_usual_parameters(script);
    for (; *list; list++) {
        apply(*list);
    }
    return handle();
}

answer *request(const char *script, ...)
{
    va_list arguments;
    const char *parameter;

    set_usual_parameters(script);
    if (next.body_length) {
        char length[32];
        snprintf(length, sizeof length, "%zu", next.body_length);
        set_parameter("CONTENT_LENGTH", 14, length);
    }
    va_start(arguments, script);
    while ((parameter = va_arg(arguments, const char *))) {
        apply(parameter);
    }
    va_end(arguments);
    return handle();
}

/* ---- fixtures -------------------------------------------------------------------------------------- */

void fixture(const char *name, const char *text)
{
    char path[4096];
    FILE *file;
    struct timespec times[2] = { 0 };

    snprintf(path, sizeof path, "%s/%s", fixtures, name);
    for (char *slash = strchr(path + strlen(fixtures) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    unlink(path);
    file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file)) {
        perror(path);
        exit(2);
    }
    /* opcache, shared by the groups of tests, tells versions of a file by their time */
    for (const char *c = text; *c; c++) {
        times[1].tv_sec = (times[1].tv_sec * 31 + *c) % 100000000;
    }
    times[0].tv_sec = times[1].tv_sec += 1500000000;
    utimensat(AT_FDCWD, path, times, 0);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status, (void)kind, (void)where;
    return remove(path);
}

void remove_fixtures(void)
{
    nftw(fixtures, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- start ------------------------------------------------------------------------------------------ */

void harness_start(const char *const *defines)
{
    fpmd_setting settings[16];
    size_t count = 0;

    for (; *defines && count < 16; defines++, count++) {
        const char *equals = strchr(*defines, '=');
        settings[count] = (fpmd_setting){ strndup(*defines, (size_t)(equals - *defines)), equals + 1, false };
    }
    fpmd_engine_options options = {
        .defines = settings, .define_count = count, .executable = "/proc/self/exe",
        .default_ini_dir = "/etc/php/8.2/fpm", .default_scan_dir = "/etc/php/8.2/fpm/conf.d",
    };
    if (fpmd_php_start(&options, &host) != 0) {
        fprintf(stderr, "PHP did not start\n");
        exit(1);
    }
    if (last.log) {
        fprintf(stderr, "%s", last.log);
    }
    while (count) {
        free((char *)settings[--count].name);
    }
}

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void bench(const char *script, long count)
{
    char *path = realpath(script, NULL);
    fpmd_request one;
    struct rusage usage;

    set_usual_parameters(path ? path : script);
    one = description();
    measuring = true;
    for (int i = 0; i < 200; i++) {
        fpmd_php_handle(&one);
        output.used = 0;
    }
    double start = cpu_seconds();
    for (long i = 0; i < count; i++) {
        fpmd_php_handle(&one);
        output.used = 0;
    }
    double used = cpu_seconds() - start;
    getrusage(RUSAGE_SELF, &usage);
    printf("%.3f us per request, %ld requests, peak RSS %ld KiB\n", used * 1e6 / (double)count, count,
           usage.ru_maxrss);
    free(path);
}

int main(int argc, char **argv)
{
    static const char *const none[] = { NULL };
    const char *mode = argc > 1 ? argv[1] : "test";

    if (strcmp(mode, "test") == 0) {
        if (!mkdtemp(fixtures)) {
            perror(fixtures);
            return 2;
        }
        run_tests();
        remove_fixtures();
        fpmd_php_stop();
        printf("%s\n", failures ? "FAILED" : "ok");
        return failures != 0;
    }
    harness_start(none);
    if (strcmp(mode, "version") == 0) {
        fpmd_php_print_version();
    } else if (strcmp(mode, "modules") == 0) {
        fpmd_php_print_modules();
    } else if (strcmp(mode, "info") == 0) {
        fpmd_php_print_info();
    } else if (argc > 2 && strcmp(mode, "bench") == 0) {
        fpmd_php_worker_init();
        bench(argv[2], argc > 3 ? atol(argv[3]) : 100000);
    } else if (argc > 2 && strcmp(mode, "run") == 0) {
        char *path = realpath(argv[2], NULL);
        fpmd_php_worker_init();
        request_array(path ? path : argv[2], (const char *const *)argv + 3);
        fwrite(last.out, 1, last.out_length, stdout);
        fprintf(stderr, *last.err ? "STDERR: %s\n" : "%s", last.err);
    } else {
        fprintf(stderr, "usage: harness [test | run SCRIPT [NAME=VALUE]… | bench SCRIPT [COUNT] | "
                        "version | modules | info]\n");
        return 64;
    }
    fpmd_php_stop();
    return 0;
}
