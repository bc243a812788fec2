/* Starting and stopping PHP under the name "fpm-fcgi". */
#include "sapi.h"

fpmd_settings fpmd_settings_globals;
fpmd_state fpmd_sapi = { .log_limit = 1024, .body_file = FPMD_BODY_UNDECIDED };

static PHP_MINIT_FUNCTION(fpmd)
{
    fpmd_settings_register(type, module_number);
    fpmd_configuration_constants();
    fpmd_user_ini_startup();
    return SUCCESS;
}

static PHP_MSHUTDOWN_FUNCTION(fpmd)
{
    (void)type;
    UNREGISTER_INI_ENTRIES();
    fpmd_user_ini_shutdown();
    return SUCCESS;
}

/* PHP calls the module registered last first: this one before any of those that are built in, as the sessions'. */
static PHP_RSHUTDOWN_FUNCTION(fpmd)
{
    (void)type;
    (void)module_number;
    fpmd_timer_execution_ends();
    return SUCCESS;
}

/* The last that PHP does before it reads what the script has left of the body. */
static ZEND_MODULE_POST_ZEND_DEACTIVATE_D(fpmd)
{
    fpmd_restore_settings();
    if (fpmd_sapi.request && fpmd_sapi.has_host) {
        fpmd_sapi.host.ended(fpmd_sapi.host.context);
    }
    return SUCCESS;
}

static PHP_MINFO_FUNCTION(fpmd)
{
    php_info_print_table_start();
    php_info_print_table_row(2, "php-fpm", "active");
    php_info_print_table_end();
    display_ini_entries(zend_module);
}

zend_module_entry fpmd_module_entry = {
    STANDARD_MODULE_HEADER,
    "cgi-fcgi",
    fpmd_functions,
    PHP_MINIT(fpmd),
    PHP_MSHUTDOWN(fpmd),
    NULL,
    PHP_RSHUTDOWN(fpmd),
    PHP_MINFO(fpmd),
    PHP_VERSION,
    NO_MODULE_GLOBALS,
    ZEND_MODULE_POST_ZEND_DEACTIVATE_N(fpmd),
    STANDARD_MODULE_PROPERTIES_EX
};

static int module_startup(sapi_module_struct *module)
{
    return php_module_startup(module, &fpmd_module_entry);
}

/* As php-fpm does: the client need not wait until PHP has freed its memory. */
static int request_deactivate(void)
{
    if (fpmd_sapi.request && fpmd_sapi.has_host) {
        fpmd_sapi.host.complete(fpmd_sapi.host.context);
    }
    return SUCCESS;
}

sapi_module_struct fpmd_sapi_module = {
    .name = "fpm-fcgi",                 /* opcache and applications know this name */
    .pretty_name = "FPM/FastCGI",
    .startup = module_startup,
    .shutdown = php_module_shutdown_wrapper,
    .activate = fpmd_activate,
    .deactivate = request_deactivate,
    .ub_write = fpmd_ub_write,
    .flush = fpmd_flush,
    .getenv = fpmd_getenv,
    .sapi_error = php_error,
    .send_headers = fpmd_send_headers,
    .read_post = fpmd_read_post,
    .read_cookies = fpmd_read_cookies,
    .register_server_variables = fpmd_register_variables,
    .log_message = fpmd_log_php,
    .php_ini_ignore_cwd = 1,
};

void fpmd_php_set_host(const fpmd_host *host)
{
    fpmd_sapi.host = *host;
    fpmd_sapi.has_host = true;
}

int fpmd_php_start(const fpmd_engine_options *options, const fpmd_host *host)
{
    volatile int result = -1;

    fpmd_php_set_host(host);
    fpmd_sapi.extended_info = options->extended_info;

    zend_signal_startup();
    sapi_startup(&fpmd_sapi_module);
    fpmd_configuration_prepare(options);
    fpmd_configuration_check();
    fpmd_variables_startup();
    fpmd_extensions_startup();
    zend_first_try {
        if (fpmd_sapi_module.startup(&fpmd_sapi_module) == SUCCESS) {
            result = 0;
            fpmd_configuration_check_file_cache();
        }
    } zend_end_try();
    fpmd_configuration_settle();
    return result;
}

void fpmd_php_stop(void)
{
    zend_first_try {
        php_module_shutdown();
    } zend_end_try();
    sapi_shutdown();
    fpmd_configuration_free();
}

void fpmd_php_worker_init(void)
{
    /* The dispositions that PHP's signal deferral falls back to are the worker's, not the zygote's. */
    zend_signal_startup();
    /* What the zygote drew from its generators (preloading may) must not be drawn by every worker. */
    RANDOM_G(mt19937_seeded) = false;
    RANDOM_G(combined_lcg_seeded) = false;
    /* Paths may mean other files now: the worker may be in a chroot. */
    realpath_cache_clean();
    fpmd_script_worker_init();
    fpmd_timer_worker_init();
    fpmd_soft_worker_init();
    fpmd_fork_worker_init();
}
