/* The informational modes: version, modules, phpinfo, and single values of php.ini. */
#include "sapi.h"

#include <errno.h>
#include <unistd.h>

void fpmd_print(const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = write(STDOUT_FILENO, bytes, length);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return;
        }
        bytes += count;
        length -= (size_t)count;
    }
}

/* PHP prints through its output layer, which exists only inside a request. */
static void in_request(void (*print)(void))
{
    zend_first_try {
        if (php_request_startup() == SUCCESS) {
            SG(headers_sent) = 1;
            SG(request_info).no_headers = 1;
            print();
        }
    } zend_end_try();
    zend_first_try {
        php_request_shutdown(NULL);
    } zend_end_try();
}

/* ---- version -------------------------------------------------------------------------------------- */

/* When PHP was built: only phpinfo() tells. */
static void build_date(char *date, size_t capacity)
{
    static const char label[] = "Build Date => ";
    zval page;
    const char *found = NULL;

    snprintf(date, capacity, "unknown");
    sapi_module.phpinfo_as_text = 1;
    php_output_start_default();
    php_print_info(PHP_INFO_GENERAL);
    if (php_output_get_contents(&page) == SUCCESS) {
        found = Z_TYPE(page) == IS_STRING ? strstr(Z_STRVAL(page), label) : NULL;
        if (found) {
            found += sizeof label - 1;
            snprintf(date, capacity, "%.*s", (int)strcspn(found, "\n"), found);
        }
        zval_ptr_dtor(&page);
    }
    php_output_discard();
}

static void print_version(void)
{
    char date[64];

    build_date(date, sizeof date);
    php_printf("PHP %s (%s) (built: %s)%s\n", PHP_VERSION, sapi_module.name, date,
               ZEND_DEBUG ? " (DEBUG)" : "");
    php_printf("Copyright (c) The PHP Group\n%s", get_zend_version());
}

void fpmd_php_print_version(void)
{
    in_request(print_version);
}

/* ---- modules -------------------------------------------------------------------------------------- */

static int by_name(const void *left, const void *right)
{
    return strcasecmp(*(const char *const *)left, *(const char *const *)right);
}

static void print_sorted(const char **names, size_t count)
{
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        php_printf("%s\n", names[i]);
    }
    php_printf("\n");
}

static void print_modules(void)
{
    const char **names = safe_emalloc(zend_hash_num_elements(&module_registry), sizeof *names, sizeof *names);
    zend_module_entry *module;
    zend_llist_position position;
    size_t count = 0;

    php_printf("[PHP Modules]\n");
    ZEND_HASH_FOREACH_PTR(&module_registry, module) {
        names[count++] = module->name;
    } ZEND_HASH_FOREACH_END();
    print_sorted(names, count);
    efree(names);

    php_printf("[Zend Modules]\n");
    names = safe_emalloc(zend_llist_count(&zend_extensions), sizeof *names, sizeof *names);
    count = 0;
    for (zend_extension *extension = zend_llist_get_first_ex(&zend_extensions, &position); extension;
         extension = zend_llist_get_next_ex(&zend_extensions, &position)) {
        names[count++] = extension->name;
    }
    print_sorted(names, count);
    efree(names);
}

void fpmd_php_print_modules(void)
{
    in_request(print_modules);
}

/* ---- phpinfo -------------------------------------------------------------------------------------- */

static void print_info(void)
{
    sapi_module.phpinfo_as_text = 1;
    php_print_info((int)PHP_INFO_ALL);
}

void fpmd_php_print_info(void)
{
    in_request(print_info);
}

/* ---- values ---------------------------------------------------------------------------------------- */

static bool give(zval *value, char *buffer, size_t capacity, size_t *length)
{
    zend_string *text = zval_get_string(value);
    size_t count = ZSTR_LEN(text) < capacity ? ZSTR_LEN(text) : capacity;

    memcpy(buffer, ZSTR_VAL(text), count);
    *length = count;
    zend_string_release(text);
    return true;
}

bool fpmd_php_constant(const char *name, char *buffer, size_t capacity, size_t *length)
{
    volatile bool found = false;

    zend_first_try {
        zval *value = zend_get_constant_str(name, strlen(name));
        found = value && Z_TYPE_P(value) != IS_ARRAY && give(value, buffer, capacity, length);
    } zend_end_try();
    return found;
}

bool fpmd_php_ini_setting(const char *name, char *buffer, size_t capacity, size_t *length)
{
    volatile bool found = false;

    zend_first_try {
        zval *value = cfg_get_entry(name, strlen(name));
        found = value && Z_TYPE_P(value) == IS_STRING && give(value, buffer, capacity, length);
    } zend_end_try();
    return found;
}
