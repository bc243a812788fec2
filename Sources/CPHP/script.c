/* The primary script: may it run, can it be opened, and running it in its directory. */
#include "sapi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* ---- security.limit_extensions ------------------------------------------------------------------- */

static char **suffixes;
static size_t suffix_count;

void fpmd_php_set_limit_extensions(const char *const *list, size_t count)
{
    for (size_t i = 0; i < suffix_count; i++) {
        free(suffixes[i]);
    }
    free(suffixes);
    suffixes = count ? calloc(count, sizeof *suffixes) : NULL;
    suffix_count = suffixes ? count : 0;
    for (size_t i = 0; i < suffix_count; i++) {
        suffixes[i] = strdup(list[i]);
    }
}

static bool may_run(const char *path)
{
    size_t length = strlen(path);

    for (size_t i = 0; i < suffix_count; i++) {
        size_t suffix_length = strlen(suffixes[i]);
        if (length > suffix_length && memcmp(path + length - suffix_length, suffixes[i], suffix_length) == 0) {
            return true;
        }
    }
    if (suffix_count == 0) {
        return true;
    }
    fpmd_logf(FPMD_NOTICE, "Access to the script '%s' has been denied (see security.limit_extensions)", path);
    return false;
}

/* ---- working directory --------------------------------------------------------------------------- */

/*
 * A script runs in its own directory, its shutdown functions in the worker's. PHP asks for the current directory,
 * changes to the script's and back by path on each request; a descriptor of the worker's directory saves the question
 * and the way back. Requests that follow each other closely find their directory by a descriptor, too. The path is
 * walked again after FPMD_WARM_NS: it may lead elsewhere by then, as everything does that PHP remembers of paths.
 */
static int home_directory = -1;
static struct {
    char path[MAXPATHLEN];
    size_t length;          /* 0: nothing is kept */
    int descriptor;         /* -1: only the path is known yet */
    int64_t walked_ns;      /* when the path led there */
} last = { .descriptor = -1 };

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void fpmd_php_rest(void)
{
    if (last.descriptor >= 0) {
        close(last.descriptor);
    }
    last.descriptor = -1;
    last.length = 0;
}

void fpmd_script_worker_init(void)
{
    fpmd_php_rest();
    if (home_directory >= 0) {
        close(home_directory);
    }
    home_directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (home_directory >= 0) {
        SG(options) |= SAPI_OPTION_NO_CHDIR;
    } else {
        SG(options) &= ~SAPI_OPTION_NO_CHDIR;       /* PHP then does it its own way */
    }
}

/* False: the script runs where the worker is, as with PHP. */
static bool walk_to(const char *path, size_t length)
{
    fpmd_php_rest();
    memcpy(last.path, path, length);
    last.path[length] = '\0';
    if (chdir(last.path) != 0) {
        return false;
    }
    last.length = length;
    return true;
}

static void enter_directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    int64_t now = now_ns();
    bool is_close;

    if (home_directory < 0 || !slash || length >= sizeof last.path) {
        return;
    }
    is_close = length == last.length && memcmp(path, last.path, length) == 0 && now - last.walked_ns < FPMD_WARM_NS;
    if (is_close && last.descriptor >= 0 && fchdir(last.descriptor) == 0) {
        return;
    }
    if (walk_to(path, length)) {
        last.walked_ns = now;
        if (is_close) {
            last.descriptor = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
    }
}

static void return_home(void)
{
    if (home_directory >= 0 && fchdir(home_directory) != 0) {
        fpmd_logf(FPMD_WARNING, "fchdir: cannot return to the worker's directory: %s (%d)", strerror(errno),
                  errno);
    }
}

/* ---- answering ----------------------------------------------------------------------------------- */

static void answer_error(int code, const char *text)
{
    SG(sapi_headers).http_response_code = code;
    PUTS(text);
}

/* With doc_root or user_dir the file opened is not the path the web server named. */
static bool is_path_redirected(void)
{
    return (PG(doc_root) && *PG(doc_root)) || (PG(user_dir) && *PG(user_dir));
}

static void run(zend_file_handle *file)
{
    fpmd_sapi.host.executing(fpmd_sapi.host.context);
    EG(exit_status) = 0;
    enter_directory_of(ZSTR_VAL(file->filename));
    fpmd_timer_execution_begins();
    php_execute_script(file);
    return_home();
}

void fpmd_script_answer(const fpmd_request *request)
{
    zend_file_handle file;
    bool redirected = is_path_redirected();
    char *path;

    if (!request->script) {
        fpmd_logf(FPMD_DEBUG, "Primary script unknown");
        answer_error(404, "File not found.\n");
        return;
    }
    if (!redirected && !may_run(request->script)) {
        answer_error(403, "Access denied.\n");
        return;
    }
    path = SG(request_info).path_translated;
    (void)path;
    errno = ENOENT;
    if (php_fopen_primary_script(&file) == FAILURE) {
        int error = errno;
        fpmd_logf(FPMD_ERROR, "Unable to open primary script: %s (%s)", request->script, strerror(error));
        if (error == EACCES) {
            answer_error(403, "Access denied.\n");
        } else {
            answer_error(404, "No input file specified.\n");
        }
        return;
    }
    if (redirected && !may_run(ZSTR_VAL(file.filename))) {
        zend_destroy_file_handle(&file);
        answer_error(403, "Access denied.\n");
        return;
    }
    run(&file);
    zend_destroy_file_handle(&file);
}
