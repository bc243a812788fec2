/*
 * What the files of this target share: the state of the worker and of its current request, and who
 * offers what. One process, one thread: plain globals.
 */
#ifndef FPMD_SAPI_H
#define FPMD_SAPI_H

#include "cphp.h"
#include "php_headers.h"

/* ---- state -------------------------------------------------------------------------------------- */

/* The settings of module cgi-fcgi (php.ini names in comments). */
typedef struct fpmd_settings {
    bool rfc2616_headers;           /* cgi.rfc2616_headers */
    bool nph;                       /* cgi.nph */
    bool force_redirect;            /* cgi.force_redirect: shown, without effect */
    bool fix_pathinfo;              /* cgi.fix_pathinfo */
    bool discard_path;              /* cgi.discard_path */
    bool logging;                   /* fastcgi.logging */
    char *redirect_status_env;      /* cgi.redirect_status_env: shown, without effect */
    char *error_header;             /* fastcgi.error_header */
    char *fpm_config;               /* fpm.config: read by the master */
} fpmd_settings;

typedef struct fpmd_state {
    fpmd_host host;                 /* valid when has_host */
    const fpmd_request *request;    /* NULL between requests */
    size_t log_limit;               /* bytes of a log line, its newline included */
    bool hides_notices;
    int body_file;                  /* REQUEST_BODY_FILE: descriptor, or FPMD_BODY_… */
    bool has_host;
    bool finished;                  /* fastcgi_finish_request() was called */
    bool aborted;                   /* the host refused output */
    bool retire;                    /* this request changed the process for good */
    bool extended_info;             /* -e */
} fpmd_state;

enum { FPMD_BODY_UNDECIDED = -1, FPMD_BODY_STREAM = -2, FPMD_BODY_REFUSED = -3 };

extern fpmd_settings fpmd_settings_globals;
extern fpmd_state fpmd_sapi;
extern sapi_module_struct fpmd_sapi_module;
extern zend_module_entry fpmd_module_entry;
extern const zend_function_entry fpmd_functions[];

/* ---- configuration.c ------------------------------------------------------------------------------- */

void fpmd_configuration_prepare(const fpmd_engine_options *options);
/* Names the files whose settings PHP will not have, for it may not read them. */
void fpmd_configuration_check(void);
/* Likewise of opcache's directory, when PHP has started. */
void fpmd_configuration_check_file_cache(void);
void fpmd_configuration_constants(void);
void fpmd_configuration_settle(void);
void fpmd_configuration_free(void);

/* ---- opcache_scripts.c ----------------------------------------------------------------------------- */

/* Gives the current request the memory that the list of all scripts takes. */
void fpmd_opcache_scripts_memory(void);
/* Writes a page of what opcache_get_status(true) has returned, as fpmd_php_opcache() says it; at most `capacity` bytes. */
void fpmd_opcache_scripts(zval *status, const char *after, fpmd_opcache_order order, size_t capacity, smart_str *text,
                          int pages);

/* ---- settings.c ------------------------------------------------------------------------------------ */

void fpmd_settings_register(int type, int module_number);
/* PHP_VALUE and PHP_ADMIN_VALUE of the current request, before PHP starts it. */
void fpmd_apply_request_settings(void);
/* What they were before; after PHP has gone back to what it began the request with. */
void fpmd_restore_settings(void);

/* ---- extensions.c ---------------------------------------------------------------------------------- */

/* Before module start-up: the built-in extensions become those of php-fpm. */
void fpmd_extensions_startup(void);
/* Loads an extension as if php.ini had named it; PHP warns when it cannot. Between requests only. */
void fpmd_extension_load(const char *name);

/* ---- userini.c ------------------------------------------------------------------------------------- */

void fpmd_user_ini_startup(void);
void fpmd_user_ini_shutdown(void);
/* sapi_module.activate: [HOST=], [PATH=] and .user.ini settings of the current request. */
int fpmd_activate(void);

/* ---- output.c, headers.c, body.c ------------------------------------------------------------------- */

/* Appends to the host's buffer; false when the client is gone. */
bool fpmd_output_append(const char *bytes, size_t length);
size_t fpmd_ub_write(const char *bytes, size_t length);
void fpmd_flush(void *server_context);
int fpmd_send_headers(sapi_headers_struct *headers);
size_t fpmd_read_post(char *buffer, size_t length);
void fpmd_body_close(void);

/* ---- variables.c ----------------------------------------------------------------------------------- */

/* The value of a FastCGI parameter, or NULL. */
const fpmd_parameter *fpmd_parameter_find(const char *name, size_t length);
void fpmd_variables_startup(void);
char *fpmd_getenv(const char *name, size_t length);
char *fpmd_read_cookies(void);
void fpmd_register_variables(zval *track_vars_array);

/* ---- script.c -------------------------------------------------------------------------------------- */

void fpmd_script_worker_init(void);
/* Opens and runs the request's script, or answers 404/403 as php-fpm does. May bail out. */
void fpmd_script_answer(const fpmd_request *request);

/* ---- fork.c ---------------------------------------------------------------------------------------- */

void fpmd_fork_worker_init(void);

/* ---- info.c ----------------------------------------------------------------------------------------- */

/* Output outside a request: on stdout. */
void fpmd_print(const char *bytes, size_t length);

/* ---- log.c ----------------------------------------------------------------------------------------- */

/* One message of our own: to FCGI_STDERR (fastcgi.logging) and to the host's log. */
void fpmd_logf(fpmd_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* sapi_module.log_message: a message of PHP. */
void fpmd_log_php(const char *message, int syslog_level);

/* ---- soft.c ---------------------------------------------------------------------------------------- */

void fpmd_soft_worker_init(void);

/* ---- timer.c --------------------------------------------------------------------------------------- */

void fpmd_timer_worker_init(void);
/* When PHP begins to read the request, and when the script begins: other limits hold. */
void fpmd_timer_request_begins(void);
void fpmd_timer_execution_begins(void);
/* After shutdown functions, destructors and output buffers, before the extensions' part of the request's end. */
void fpmd_timer_execution_ends(void);
/* After the request: nothing may fire between requests. */
void fpmd_timer_request_end(void);

#endif
