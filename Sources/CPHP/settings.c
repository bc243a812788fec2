/* INI settings: the nine of this module, and those that pools and FastCGI parameters force upon PHP. */
#include "sapi.h"

#include <sys/time.h>

PHP_INI_BEGIN()
    STD_PHP_INI_BOOLEAN("cgi.rfc2616_headers", "0", PHP_INI_ALL, OnUpdateBool, rfc2616_headers,
                        struct fpmd_settings, fpmd_settings_globals)
    STD_PHP_INI_BOOLEAN("cgi.nph", "0", PHP_INI_ALL, OnUpdateBool, nph,
                        struct fpmd_settings, fpmd_settings_globals)
    STD_PHP_INI_BOOLEAN("cgi.force_redirect", "1", PHP_INI_SYSTEM, OnUpdateBool, force_redirect,
                        struct fpmd_settings, fpmd_settings_globals)
    STD_PHP_INI_ENTRY("cgi.redirect_status_env", NULL, PHP_INI_SYSTEM, OnUpdateString, redirect_status_env,
                      struct fpmd_settings, fpmd_settings_globals)
    STD_PHP_INI_BOOLEAN("cgi.fix_pathinfo", "1", PHP_INI_SYSTEM, OnUpdateBool, fix_pathinfo,
                        struct fpmd_settings, fpmd_settings_globals)
    STD_PHP_INI_BOOLEAN("cgi.discard_path", "0", PHP_INI_SYSTEM, OnUpdateBool, discard_path,
                        struct fpmd_settings, fpmd_settings_globals)
    STD_PHP_INI_BOOLEAN("fastcgi.logging", "1", PHP_INI_SYSTEM, OnUpdateBool, logging,
                        struct fpmd_settings, fpmd_settings_globals)
    STD_PHP_INI_ENTRY("fastcgi.error_header", NULL, PHP_INI_SYSTEM, OnUpdateString, error_header,
                      struct fpmd_settings, fpmd_settings_globals)
    STD_PHP_INI_ENTRY("fpm.config", NULL, PHP_INI_SYSTEM, OnUpdateString, fpm_config,
                      struct fpmd_settings, fpmd_settings_globals)
PHP_INI_END()

void fpmd_settings_register(int type, int module_number)
{
    REGISTER_INI_ENTRIES();
}

bool fpmd_php_fix_pathinfo(void)
{
    return fpmd_settings_globals.fix_pathinfo;
}

bool fpmd_php_discard_path(void)
{
    return fpmd_settings_globals.discard_path;
}

const char *fpmd_php_doc_root(void)
{
    return PG(doc_root);
}

/* ---- settings that are more than a value --------------------------------------------------------- */

static void disable_classes(const char *list)
{
    while (*list) {
        size_t length = strcspn(list, " ,");
        if (length) {
            zend_disable_class(list, length);
        }
        list += length + (list[length] != '\0');
    }
}

/* Disabling takes away at once and for good, beside the entry that only shows the list. */
static void disable_if_asked(const char *name, const char *value)
{
    if (*value && strcmp(name, "disable_functions") == 0) {
        zend_disable_functions(value);
        fpmd_sapi.retire = true;
    } else if (*value && strcmp(name, "disable_classes") == 0) {
        disable_classes(value);
        fpmd_sapi.retire = true;
    }
}

/* ---- applying ------------------------------------------------------------------------------------- */

/* Nothing but this notes the old value: what PHP notes of a change is what ini_restore() goes back to, and shows as the
   global value. False when the setting's own rules refuse the value; `text` is the entry's otherwise. */
static bool set_entry(zend_ini_entry *entry, zend_string *text, bool admin)
{
    if (entry->on_modify
        && entry->on_modify(entry, text, entry->mh_arg1, entry->mh_arg2, entry->mh_arg3, PHP_INI_STAGE_ACTIVATE)
            != SUCCESS) {
        return false;
    }
    entry->value = text;
    if (admin) {
        entry->modifiable = ZEND_INI_SYSTEM;
    }
    return true;
}

/* ---- for the life of the worker ------------------------------------------------------------------- */

static bool set_for_good(const char *name, const char *value, bool admin)
{
    zend_ini_entry *entry = zend_hash_str_find_ptr(EG(ini_directives), name, strlen(name));
    zend_string *copy;

    if (strcmp(name, "extension") == 0 && *value) {
        fpmd_extension_load(value);
        return true;
    }
    if (!entry) {
        return false;
    }
    copy = zend_string_init(value, strlen(value), 1);
    /* The old value stays allocated: others (the configuration hash) may hold it. */
    if (!set_entry(entry, copy, admin)) {
        zend_string_release_ex(copy, 1);
    }
    /* PHP has begun to measure, with a signal that ends a zygote; workers do it for each request. */
    if (strcmp(name, "max_execution_time") == 0) {
        setitimer(ITIMER_PROF, &(struct itimerval){ 0 }, NULL);
    }
    disable_if_asked(name, value);
    return true;
}

bool fpmd_php_apply_setting(const char *name, const char *value, bool admin)
{
    volatile bool known = false;

    zend_first_try {
        known = set_for_good(name, value, admin);
    } zend_end_try();
    return known;
}

/* ---- for one request ------------------------------------------------------------------------------ */

/* Of a setting that only the administrator may change opcache takes ini_get() for a constant, which the compiled script
   would keep for every later request. An access that is not that alone, but forbids the same, leaves the call as it is. */
#define SYSTEM_FOR_A_REQUEST (ZEND_INI_SYSTEM | 8)

/* What a setting was before the request. */
typedef struct former {
    struct former *next;
    zend_ini_entry *entry;
    zend_string *value;
    uint8_t modifiable;
} former;

static former *formers;

static const former *note_former(zend_ini_entry *entry)
{
    former *noted;

    for (noted = formers; noted; noted = noted->next) {
        if (noted->entry == entry) {
            return noted;
        }
    }
    noted = pemalloc(sizeof *noted, 1);
    *noted = (former){ .next = formers, .entry = entry, .value = entry->value, .modifiable = entry->modifiable };
    formers = noted;
    return noted;
}

static bool set_for_request(const char *name, const char *value, bool admin)
{
    zend_ini_entry *entry = zend_hash_str_find_ptr(EG(ini_directives), name, strlen(name));
    zend_string *text, *before;
    const former *noted;

    if (strcmp(name, "extension") == 0 && *value) {
        fpmd_extension_load(value);
        return true;
    }
    if (!entry) {
        return false;
    }
    noted = note_former(entry);
    before = entry->value;
    text = zend_string_init(value, strlen(value), 1);
    /* A value that its own setting refuses is silently not applied. */
    if (!set_entry(entry, text, admin)) {
        zend_string_release_ex(text, 1);
    } else if (before != noted->value) {
        zend_string_release_ex(before, 1);
    }
    if (entry->modifiable == ZEND_INI_SYSTEM) {
        entry->modifiable = SYSTEM_FOR_A_REQUEST;
    }
    disable_if_asked(name, value);
    return true;
}

/* PHP has undone the script's own changes by now. */
void fpmd_restore_settings(void)
{
    while (formers) {
        former *noted = formers;
        zend_ini_entry *entry = noted->entry;
        zend_string *text = entry->value;

        formers = noted->next;
        entry->modifiable = noted->modifiable;
        if (text != noted->value) {
            if (entry->on_modify) {
                zend_try {
                    entry->on_modify(entry, noted->value, entry->mh_arg1, entry->mh_arg2, entry->mh_arg3,
                                     ZEND_INI_STAGE_DEACTIVATE);
                } zend_end_try();
            }
            entry->value = noted->value;
            zend_string_release_ex(text, 1);
        }
        pefree(noted, 1);
    }
}

#define PASSING "Passing INI directive through FastCGI: "

static void on_ini_event(zval *name, zval *value, zval *offset, int kind, void *context)
{
    const bool *admin = context;

    (void)offset;
    if (!name) {
        return;
    }
    if (kind != ZEND_INI_PARSER_ENTRY) {
        fpmd_logf(FPMD_ERROR, PASSING "only classic entries are allowed");
    } else if (Z_STRLEN_P(name) == 0) {
        fpmd_logf(FPMD_ERROR, PASSING "empty key");
    } else if (!value) {
        fpmd_logf(FPMD_ERROR, PASSING "empty value for key '%s'", Z_STRVAL_P(name));
    } else if (!set_for_request(Z_STRVAL_P(name), Z_STRVAL_P(value), *admin)) {
        fpmd_logf(FPMD_ERROR, PASSING "unable to set '%s'", Z_STRVAL_P(name));
    }
}

static void apply_parameter(const char *name, size_t length, bool admin)
{
    const fpmd_parameter *parameter = fpmd_parameter_find(name, length);
    char *text;
    size_t used;

    if (!parameter || parameter->value_length == 0) {
        return;
    }
    /* The scanner wants the last line ended. */
    used = strlen(parameter->value);
    text = safe_emalloc(1, used, 2);
    memcpy(text, parameter->value, used);
    memcpy(text + used, "\n", 2);
    zend_parse_ini_string(text, true, ZEND_INI_SCANNER_NORMAL, on_ini_event, &admin);
    efree(text);
}

void fpmd_apply_request_settings(void)
{
    apply_parameter(ZEND_STRL("PHP_VALUE"), false);
    apply_parameter(ZEND_STRL("PHP_ADMIN_VALUE"), true);
}
