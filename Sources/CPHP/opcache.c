/* What an operator may do with the opcache of a pool, in one of its workers between two requests. */
#include "sapi.h"

#include "ext/json/php_json.h"
#include "zend_exceptions.h"
#include "zend_smart_str.h"

/* The functions refuse scripts outside opcache.restrict_api; the operator is none. */
static void allow_api(void)
{
    const char *restricted = zend_ini_string("opcache.restrict_api", sizeof "opcache.restrict_api" - 1, 0);

    if (restricted && *restricted) {
        SG(request_info).path_translated = estrdup(restricted);
    }
}

/* With session.auto_start each question would leave a session behind: as PHP_ADMIN_VALUE does, for this request. */
static void leave_out_session(void)
{
    zend_string *name = zend_string_init(ZEND_STRL("session.auto_start"), 0);

    zend_alter_ini_entry_chars(name, ZEND_STRL("0"), ZEND_INI_SYSTEM, PHP_INI_STAGE_ACTIVATE);
    zend_string_release(name);
}

/* False, and `result` undefined, when there is no such function. */
static bool call(fpmd_opcache_action action, const char *file, zval *result)
{
    static const char *const names[] = {
        [FPMD_OPCACHE_STATUS] = "opcache_get_status",
        [FPMD_OPCACHE_RESET] = "opcache_reset",
        [FPMD_OPCACHE_INVALIDATE] = "opcache_invalidate",
        [FPMD_OPCACHE_SCRIPTS] = "opcache_get_status",
    };
    zval name, arguments[2];
    uint32_t count = 0;

    ZVAL_STRING(&name, names[action]);
    if (!zend_is_callable(&name, 0, NULL)) {
        zval_ptr_dtor(&name);
        return false;
    }
    if (action == FPMD_OPCACHE_STATUS) {
        ZVAL_FALSE(&arguments[count++]);        /* without the list of scripts */
    } else if (action == FPMD_OPCACHE_SCRIPTS) {
        ZVAL_TRUE(&arguments[count++]);
    } else if (action == FPMD_OPCACHE_INVALIDATE) {
        ZVAL_STRING(&arguments[count++], file);
        ZVAL_TRUE(&arguments[count++]);         /* whatever the file's time says */
    }
    if (call_user_function(NULL, NULL, &name, result, count, arguments) != SUCCESS || EG(exception)) {
        zval_ptr_dtor(result);
        ZVAL_UNDEF(result);
    }
    while (count > 0) {
        zval_ptr_dtor(&arguments[--count]);
    }
    zval_ptr_dtor(&name);
    return true;
}

ssize_t fpmd_php_opcache(fpmd_opcache_action action, const char *file, fpmd_opcache_order order, char *buffer,
                         size_t capacity, int pages)
{
    volatile ssize_t length = -2;
    volatile bool started = false;

    zend_first_try {
        leave_out_session();
        started = php_request_startup() == SUCCESS;
    } zend_end_try();
    if (started) {
        zend_first_try {
            smart_str text = { 0 };
            zval result;

            ZVAL_UNDEF(&result);
            SG(headers_sent) = 1;
            SG(request_info).no_headers = 1;
            php_output_start_default();         /* nobody would read a warning */
            allow_api();
            if (action == FPMD_OPCACHE_SCRIPTS) {
                fpmd_opcache_scripts_memory();
            }
            if (!call(action, file, &result)) {
                length = -1;
            } else if (Z_TYPE(result) != IS_UNDEF) {
                if (action == FPMD_OPCACHE_SCRIPTS) {
                    fpmd_opcache_scripts(&result, file, order, capacity, &text, pages);
                } else {
                    php_json_encode(&text, &result, PHP_JSON_PARTIAL_OUTPUT_ON_ERROR);
                }
            }
            if (text.s && ZSTR_LEN(text.s) <= capacity) {
                memcpy(buffer, ZSTR_VAL(text.s), ZSTR_LEN(text.s));
                length = (ssize_t)ZSTR_LEN(text.s);
            }
            smart_str_free(&text);
            zval_ptr_dtor(&result);
            zend_clear_exception();
        } zend_end_try();
        zend_first_try {
            if (SG(request_info).path_translated) {
                efree(SG(request_info).path_translated);
                SG(request_info).path_translated = NULL;
            }
            php_output_discard_all();
        } zend_end_try();
    }
    zend_first_try {
        php_request_shutdown(NULL);
    } zend_end_try();
    fpmd_timer_request_end();
    SG(request_info).no_headers = 0;
    return length;
}
