/* Settings by host, by directory, and from .user.ini files. */
#include "sapi.h"

/* What the .user.ini files of one directory said when they were last read. */
typedef struct user_config {
    zend_long expires;              /* seconds since the epoch */
    HashTable settings;
} user_config;

static HashTable cache;             /* directory, with trailing slash, to user_config */

static void user_config_free(zval *value)
{
    user_config *config = Z_PTR_P(value);
    zend_hash_destroy(&config->settings);
    pefree(config, 1);
}

void fpmd_user_ini_startup(void)
{
    zend_hash_init(&cache, 8, NULL, user_config_free, 1);
}

void fpmd_user_ini_shutdown(void)
{
    zend_hash_destroy(&cache);
}

static user_config *user_config_find(const char *directory, size_t length)
{
    user_config *config = zend_hash_str_find_ptr(&cache, directory, length);

    if (!config) {
        config = pemalloc(sizeof *config, 1);
        config->expires = 0;
        zend_hash_init(&config->settings, 8, NULL, config_zval_dtor, 1);
        zend_hash_str_update_ptr(&cache, directory, length, config);
    }
    return config;
}

/* Reads the files from the document root (`root`, without trailing slash) down to `directory`; only the
   directory's own when it is elsewhere. "Inside" compares bytes, as php-fpm does. */
static void user_config_read(user_config *config, char *directory, size_t length, const char *root,
                             size_t root_length)
{
    size_t common = root_length < length ? root_length : length;

    zend_hash_clean(&config->settings);
    if (memcmp(root, directory, common) != 0 || root_length >= length) {
        php_parse_user_ini_file(directory, PG(user_ini_filename), &config->settings);
        return;
    }
    for (char *slash = strchr(directory + root_length, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        php_parse_user_ini_file(directory, PG(user_ini_filename), &config->settings);
        *slash = '/';
    }
}

static void activate_user_ini(char *directory, size_t length)
{
    const fpmd_parameter *parameter = fpmd_parameter_find(ZEND_STRL("DOCUMENT_ROOT"));
    zend_long now = (zend_long)sapi_get_request_time();
    user_config *config;
    size_t root_length;

    if (!parameter) {
        return;
    }
    root_length = strlen(parameter->value);
    if (root_length > 0 && parameter->value[root_length - 1] == '/') {
        root_length--;
    }
    config = user_config_find(directory, length);
    if (now > config->expires) {
        user_config_read(config, directory, length, parameter->value, root_length);
        config->expires = now + PG(user_ini_cache_ttl);
    }
    php_ini_activate_config(&config->settings, PHP_INI_PERDIR, PHP_INI_STAGE_HTACCESS);
}

static void activate_host(void)
{
    const fpmd_parameter *name = fpmd_parameter_find(ZEND_STRL("SERVER_NAME"));

    if (name) {
        size_t length = strlen(name->value);
        char *host = estrndup(name->value, length);
        zend_str_tolower(host, length);
        php_ini_activate_per_host_config(host, length);
        efree(host);
    }
}

static void activate_directory(const char *script)
{
    bool user_ini = PG(user_ini_filename) && *PG(user_ini_filename);
    size_t length;
    char *directory;

    if (!user_ini && !php_ini_has_per_dir_config()) {
        return;
    }
    length = strlen(script);
    directory = emalloc(length + 2);
    memcpy(directory, script, length + 1);
    length = zend_dirname(directory, length);
    directory[length++] = '/';
    directory[length] = '\0';
    php_ini_activate_per_dir_config(directory, length);
    if (user_ini) {
        activate_user_ini(directory, length);
    }
    efree(directory);
}

static int activate(void)
{
    const char *script = SG(request_info).path_translated;

    if (!fpmd_sapi.request || !script) {
        return FAILURE;
    }
    if (php_ini_has_per_host_config()) {
        activate_host();
    }
    activate_directory(script);
    return SUCCESS;
}

int fpmd_activate(void)
{
    int result = activate();

    fpmd_timer_request_begins();
    return result;
}
