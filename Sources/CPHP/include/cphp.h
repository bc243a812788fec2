/*
 * CPHP - real PHP behind plain C types.
 *
 * The SAPI module "fpm-fcgi": everything that touches Zend lives in this target, and nothing of Zend
 * shows in this header. The caller (the zygote and its workers) has one thread.
 *
 * Rules of the boundary:
 *  - PHP may longjmp at any allocation. It only ever unwinds C frames of this target down to the entry
 *    points below, which open their own zend_first_try. No Swift frame is ever skipped.
 *  - Host functions (struct fpmd_host) are leaves: they move bytes and return; they never call back
 *    into this header, except where said.
 *  - Strings are (pointer, length); where "NUL-terminated" is said, a zero byte follows the last byte.
 */
#ifndef FPMD_CPHP_H
#define FPMD_CPHP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

/* ---- bytes -------------------------------------------------------------------------------------- */

/* One FastCGI parameter. Name and value are NUL-terminated; lengths do not count that byte. */
typedef struct fpmd_parameter {
    const char *name;
    const char *value;
    uint32_t name_length;
    uint32_t value_length;
} fpmd_parameter;

/* Where PHP's output goes: the module appends at base + used while used < limit, and calls host.drain
   when there is no room. The host owns the memory and the FastCGI framing around it, and may move
   `used` in drain(), send_whole() and write_error(). A write of `whole` bytes and more goes to host.send_whole first:
   so much is the content of one record. */
typedef struct fpmd_output {
    uint8_t *base;
    size_t used;
    size_t limit;
    size_t whole;
} fpmd_output;

/* ---- status (fpm_get_status) ---------------------------------------------------------------------- */

typedef struct fpmd_pool_status {
    char name[256];                     /* NUL-terminated, as all char arrays here */
    char process_manager[16];
    int64_t start_time;                 /* seconds since the epoch */
    int64_t start_since;                /* seconds */
    int64_t accepted_conn;
    int64_t listen_queue, max_listen_queue, listen_queue_len;
    int64_t idle_processes, active_processes, total_processes, max_active_processes;
    int64_t max_children_reached, slow_requests;
} fpmd_pool_status;

typedef struct fpmd_process_status {
    int64_t pid;
    const char *state;                  /* "Idle", "Running", …; static storage */
    int64_t start_time, start_since, requests, request_duration_us;
    int64_t content_length;
    double last_request_cpu;            /* percent */
    int64_t last_request_memory;        /* bytes */
    char method[16], uri[128], query[512], user[32], script[256];
} fpmd_process_status;

/* The fixed-size texts above, written from outside C: arrays are tuples there. Longer text is cut. */
void fpmd_name_pool(fpmd_pool_status *pool, const char *_Nullable name, size_t name_length,
                    const char *_Nullable manager, size_t manager_length);
void fpmd_describe_process(fpmd_process_status *process, const char *method, const char *uri, const char *query,
                           const char *user, const char *script);

/* ---- what PHP asks of the host -------------------------------------------------------------------- */

/* Log levels, ascending severity; the names php-fpm prints. */
typedef enum fpmd_level {
    FPMD_UNLABELLED = 0,    /* always written, without a name: fpmd_php_hide_notices() */
    FPMD_DEBUG = 1, FPMD_NOTICE = 2, FPMD_WARNING = 3, FPMD_ERROR = 4, FPMD_ALERT = 5
} fpmd_level;

typedef struct fpmd_host {
    void *_Nullable context;
    fpmd_output *output;

    /* Frames and sends what is in `output`, making room again. `flush` is true for an explicit flush().
       False when the client is gone. */
    bool (*drain)(void *_Nullable context, bool flush);
    /* Sends what is in `output`, then as many records of `output->whole` bytes as `bytes` fill, from where they are:
       how many bytes that was; 0 when the response is over (drain() says what then); -1 when the client is gone. */
    ssize_t (*send_whole)(void *_Nullable context, const char *bytes, size_t length);
    /* One message for FCGI_STDERR, already cut to the log limit; joins several of a request with "; ". */
    void (*write_error)(void *_Nullable context, const char *bytes, size_t length);
    /* One line for the worker's own stderr: "NOTICE: PHP message: …" is built by the host. */
    void (*log)(void *_Nullable context, fpmd_level level, const char *bytes, size_t length);
    /* Reads request body: bytes read, 0 at the end, -1 when the client is gone or lied. Never more than
       `length`. The host enforces CONTENT_LENGTH. */
    ssize_t (*read_body)(void *_Nullable context, char *buffer, size_t length);
    /* Ends the response now (fastcgi_finish_request): sends what is in `output` and END_REQUEST, and
       closes unless kept alive. Later output must vanish: drain() then returns `false` for a closed
       connection, true for a kept one. Returns false if the connection was already closed by an
       earlier call. */
    bool (*finish)(void *_Nullable context);
    /* The script is opened and about to run, or a page is about to be written. */
    void (*executing)(void *_Nullable context);
    /* The script returned; shutdown functions have not run yet. Time for the access log.
       `memory_peak` in bytes (real usage). */
    void (*executed)(void *_Nullable context, int response_code, size_t memory_peak);
    /* Shutdown functions and extensions have run, nothing more is written. PHP goes on to read what the script has left
       of the body. Once for each request. */
    void (*ended)(void *_Nullable context);
    /* That has been read, too; PHP goes on to free its memory. Time to complete the response. Once for each request. */
    void (*complete)(void *_Nullable context);
    /* Fills `pool`, and up to `capacity` processes; returns how many processes there are, or -1 when the
       scoreboard cannot be read now. */
    ssize_t (*status)(void *_Nullable context, fpmd_pool_status *pool,
                      fpmd_process_status *_Nullable processes, size_t capacity);
} fpmd_host;

/* ---- one request ---------------------------------------------------------------------------------- */

/* A page that the manager answers instead of a script (ping, status): run as an ordinary request, so
   that counters, headers and the access log see it. */
typedef struct fpmd_page {
    const char *_Nullable headers[4];   /* "Content-type: text/plain", …; NULL ends the list */
    int status;                         /* 0: leave 200 */
    const char *body;
    size_t body_length;
} fpmd_page;

typedef struct fpmd_request {
    /* In order of arrival, after script resolution; each name once; HTTP_PROXY still in it (hidden by the
       module). */
    const fpmd_parameter *_Nullable parameters;
    size_t parameter_count;
    /* All NUL-terminated; NULL when the request has none. They live until fpmd_php_handle returns. */
    const char *_Nullable method;
    const char *_Nullable query_string;
    const char *_Nullable content_type;
    const char *_Nullable cookies;
    const char *_Nullable authorization;
    const char *_Nullable request_uri;      /* the resolved URI: PHP_SELF is it plus PATH_INFO */
    const char *_Nullable script;           /* NULL: 404 "File not found." */
    int64_t content_length;                 /* bytes, 0 when missing; negative: no limit */
    bool has_script_parameter;              /* SCRIPT_FILENAME or PATH_TRANSLATED was sent */
    const fpmd_page *_Nullable page;
} fpmd_request;

typedef enum fpmd_outcome {
    FPMD_DONE = 0,          /* answered; the worker may take the next request */
    FPMD_WORKER_LOST = 1,   /* answered as far as possible, but PHP cannot go on in this process (request
                               start-up failed): exit 70 */
    FPMD_RETIRE = 2         /* answered, but the request changed the process for good (disable_functions or
                               disable_classes through PHP_VALUE): take no further request */
} fpmd_outcome;

/* ---- life of the engine ------------------------------------------------------------------------- */

/* A php.ini line. `value` is what followed "=" (the caller says "1" when there was none). A literal value
   is taken byte for byte; another is read by the INI scanner as php-fpm reads -d: constants, ${…}, and
   quotes added when it begins with neither a letter, a digit nor a quote. */
typedef struct fpmd_setting {
    const char *name;
    const char *value;
    bool literal;
} fpmd_setting;

typedef struct fpmd_engine_options {
    const char *_Nullable ini_path;             /* -c */
    bool no_ini;                                /* -n */
    bool extended_info;                         /* -e */
    const fpmd_setting *_Nullable defines;      /* -d, in order, and settings that must be there at
                                                   start-up (php_admin_value[opcache.*]) */
    size_t define_count;
    const char *executable;                     /* argv[0] as given: PHP_BINARY and php.ini search */
    /* Where php.ini (php-fpm-fcgi.ini first) is looked for when -c, -n, PHPRC and the program's directory
       have none, and the directory scanned for *.ini when PHP_INI_SCAN_DIR is not set. NULL: those compiled
       into the library. */
    const char *_Nullable default_ini_dir;
    const char *_Nullable default_scan_dir;
} fpmd_engine_options;

/* Starts PHP (sapi_startup, module start-up). Start-up messages go to host.log. 0, or -1. */
int fpmd_php_start(const fpmd_engine_options *options, const fpmd_host *host);
/* Replaces the host; the structure is copied, what it points to stays the caller's. Not during a request. */
void fpmd_php_set_host(const fpmd_host *host);
/* Module shutdown; for the informational modes and the zygote's end. */
void fpmd_php_stop(void);

/* Applies one php_value/php_admin_value after start-up (and before the first request); `extension`,
   `disable_functions`, `disable_classes` are special as in php-fpm. Returns false when the name is
   unknown ("Unable to set php_value '%s'" is the caller's message). */
bool fpmd_php_apply_setting(const char *name, const char *value, bool admin);
/* Suffix list of security.limit_extensions; count 0 disables the check. Copied. */
void fpmd_php_set_limit_extensions(const char *const _Nonnull *_Nullable suffixes, size_t count);
/* log_limit in bytes, for cutting "PHP message: …". */
void fpmd_php_set_log_limit(size_t bytes);
/* log_level hides notices. What scripts and PHP itself log is no less important for it, fatal errors among it: as with
   php-fpm it is written all the same, and only its label is hidden. Valid before PHP starts. */
void fpmd_php_hide_notices(bool hidden);
/* A notice about the request under way: to FCGI_STDERR, unless fastcgi.logging is off, and to the host's log. Valid
   inside `executed`. */
void fpmd_php_notice(const char *text);
/* Bytes that PHP's and the C library's allocators have from the kernel. */
size_t fpmd_php_allocated(void);
/* Gives the kernel back what requests have used of the allocators' memory. Between two requests only; the next one gets
   empty pages, at 0.5 to 4 us each. Nothing of PHP's heap if that is not PHP's own (USE_ZEND_ALLOC=0, a profiler's). */
void fpmd_php_release_memory(void);
/* Once in each worker after fork, when its signal dispositions, root and working directory are final:
   rereads the dispositions, reseeds, empties the realpath cache, remembers the working directory, starts
   the CPU timer (signal SIGRTMAX - 1). */
void fpmd_php_worker_init(void);
/* Nanoseconds for which requests that follow each other closely share what they have found out. */
#define FPMD_WARM_NS 2000000
/* Gives back what is held for the next request (a descriptor of the script's directory): for a worker that has had none for
   FPMD_WARM_NS or a little longer, as an idle one holds nothing of anybody's. */
void fpmd_php_rest(void);

/* Whether this worker has forked: somebody else may have its connections, and to close one does not end it. */
bool fpmd_php_has_forked(void);
/* Whether this process is no worker, but what a script has forked: the request that it is in is its last. */
bool fpmd_php_is_fork(void);
/* What the script of the request before has given exit(), 255 after a fatal error: the exit status of such a process. */
int fpmd_php_exit_status(void);

/* Settings that script resolution needs now: they may change between requests through PHP_VALUE. */
bool fpmd_php_fix_pathinfo(void);
bool fpmd_php_discard_path(void);
const char *_Nullable fpmd_php_doc_root(void);
/* Whether `path` resolves to something that exists (PHP's realpath cache), and whether it is a regular
   file. */
bool fpmd_php_path_exists(const char *path);
bool fpmd_php_is_regular_file(const char *path);

/* Runs one request from PHP's start-up to its shutdown. On return all output is in `output` or drained;
   END_REQUEST is the caller's. */
/* The token of the request that comes next, 0 for none: fpmd_php_soft_signal with it as its value (sigqueue(3)) ends
   the script with a fatal error, after which its shutdown functions run. */
void fpmd_php_set_token(int token);
int fpmd_php_soft_signal(void);
fpmd_outcome fpmd_php_handle(const fpmd_request *request);

/* True while this request's output is refused because the client is gone. */
bool fpmd_php_aborted(void);

/* The user of Basic authentication, NUL-terminated; NULL if none. Valid inside `executing` and `executed`
   only. */
const char *_Nullable fpmd_php_auth_user(void);

/* A response header of the current request whose line begins with exactly "NAME: " (access log %o);
   NULL if none. Valid inside `executed` only. */
const char *_Nullable fpmd_php_response_header(const char *name, size_t name_length, size_t *value_length);

/* ---- opcache, for the operator -------------------------------------------------------------------- */

typedef enum fpmd_opcache_action {
    FPMD_OPCACHE_STATUS = 1, FPMD_OPCACHE_RESET = 2, FPMD_OPCACHE_INVALIDATE = 3, FPMD_OPCACHE_SCRIPTS = 4
} fpmd_opcache_action;

/* What a list of scripts begins with: the path, or the most hits, memory, or seconds since the epoch. */
typedef enum fpmd_opcache_order {
    FPMD_OPCACHE_BY_PATH = 0, FPMD_OPCACHE_BY_HITS = 1, FPMD_OPCACHE_BY_MEMORY = 2, FPMD_OPCACHE_BY_USE = 3
} fpmd_opcache_order;

/* Bytes that an answer to FPMD_OPCACHE_SCRIPTS never exceeds, so that its reader is done with it at once. */
#define FPMD_OPCACHE_SCRIPTS_CAPACITY (32 << 10)

/* Does it in this worker, between two requests; `file` is for INVALIDATE, and for SCRIPTS. The answer is what PHP's
   function returned, as JSON: its length, or -1 when there is no such function, or -2 when PHP failed or there is no
   room.

   SCRIPTS lists the cached scripts whose paths come after `file`, in the order of their paths' JSON texts, or without
   `file` in another `order`, as many as there is room for: {"total":N,"more":BOOL,"scripts":[{"full_path":S,"hits":N,"memory_consumption":N,
   "last_used_timestamp":N,"timestamp":N},...]}. `more` says whether others come after them; `timestamp` is absent where
   PHP does not look at files' times. The pages after that one go into the file `pages`, unless it is -1: a line each, all
   of one moment, for PHP's list takes time in proportion to its length. 64 MiB of them, or what the file has room for. */
ssize_t fpmd_php_opcache(fpmd_opcache_action action, const char *file, fpmd_opcache_order order, char *buffer,
                         size_t capacity, int pages);

/* ---- traces of slow requests ---------------------------------------------------------------------- */

/* What another process must know to follow the call frames in a worker's memory: one address, which is the same
   in every worker of a zygote, and offsets into PHP's structures. A function is user code if its type (one byte)
   is even; a line is a uint32_t; all else are words. */
typedef struct fpmd_trace_layout {
    uint64_t current_frame;             /* address of the pointer to the innermost frame */
    uint64_t frame_function, frame_previous, frame_opline;
    uint64_t function_type, function_name, function_file;
    uint64_t opline_line;
    uint64_t text_length, text_start;
} fpmd_trace_layout;

void fpmd_php_trace_layout(fpmd_trace_layout *layout);

/* ---- informational modes: everything on stdout ---------------------------------------------------- */

void fpmd_php_print_version(void);
void fpmd_php_print_modules(void);
void fpmd_php_print_info(void);
/* The value of a constant as the INI scanner would substitute it, or of a php.ini directive; false when
   there is none. At most `capacity` bytes. */
bool fpmd_php_constant(const char *name, char *buffer, size_t capacity, size_t *length);
bool fpmd_php_ini_setting(const char *name, char *buffer, size_t capacity, size_t *length);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif
#endif
