/* Which php.ini is read: php-fpm's search, although the library was built for another SAPI's directory. */
#include "sapi.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Exported by PHP, declared in none of its headers. */
extern PHPAPI char *php_ini_scanned_path;

static char *default_ini_dir, *default_scan_dir;
static bool scan_dir_lent;          /* we put PHP_INI_SCAN_DIR into the environment */

/* Growing text; all of it is start-up code, so running out of memory just ends it. */
typedef struct text {
    char *bytes;
    size_t length, capacity;
} text;

static void text_append(text *to, const char *bytes, size_t length)
{
    if (to->length + length + 1 > to->capacity) {
        size_t capacity = (to->length + length + 1) * 2;
        char *grown = realloc(to->bytes, capacity);
        if (!grown) {
            abort();
        }
        to->bytes = grown;
        to->capacity = capacity;
    }
    memcpy(to->bytes + to->length, bytes, length);
    to->length += length;
    to->bytes[to->length] = '\0';
}

static void text_append_string(text *to, const char *string)
{
    text_append(to, string, strlen(string));
}

/* A php.ini line. Command-line values are the INI scanner's business unless they cannot be a bare word;
   literal ones are quoted so that the scanner changes nothing. */
static void append_define(text *to, const fpmd_setting *setting)
{
    const char *value = setting->value;
    text_append_string(to, setting->name);
    text_append_string(to, "=");
    if (!setting->literal) {
        bool bare = isalnum((unsigned char)*value) || *value == '"' || *value == '\'' || *value == '\0';
        text_append_string(to, bare ? "" : "\"");
        text_append_string(to, value);
        text_append_string(to, bare ? "\n" : "\"\n");
    } else if (!strchr(value, '\'')) {
        text_append_string(to, "'");
        text_append_string(to, value);
        text_append_string(to, "'\n");
    } else {
        text_append_string(to, "\"");
        for (; *value; value++) {
            if (*value == '"' || *value == '\\') {
                text_append_string(to, "\\");
            }
            text_append(to, value, 1);
        }
        text_append_string(to, "\"\n");
    }
}

/* The directory of the program, found as PHP finds PHP_BINARY: by name, or along PATH. */
static bool append_program_directory(text *to, const char *program)
{
    char resolved[MAXPATHLEN], candidate[MAXPATHLEN];
    const char *path = getenv("PATH");

    if (strchr(program, '/')) {
        if (!realpath(program, resolved) || access(resolved, X_OK) != 0) {
            return false;
        }
    } else {
        bool found = false;
        while (path && *path && !found) {
            size_t length = strcspn(path, ":");
            int written = snprintf(candidate, sizeof candidate, "%.*s/%s", (int)length, path, program);
            if (written > 0 && (size_t)written < sizeof candidate && realpath(candidate, resolved)
                && access(resolved, X_OK) == 0) {
                found = true;
            }
            path += length + (path[length] == ':');
        }
        if (!found) {
            return false;
        }
    }
    char *slash = strrchr(resolved, '/');
    text_append(to, resolved, slash == resolved ? 1 : (size_t)(slash - resolved));
    return true;
}

/* The search path that replaces PHP's own, whose last entry is the other SAPI's directory. PHP tries
   php-fpm-fcgi.ini, then php.ini, in each. */
static char *search_path(const char *program, const char *last_directory)
{
    text path = { 0 };
    struct stat status;
    const char *environment = getenv("PHPRC");

    if (environment && *environment) {
        text_append_string(&path, environment);
        if (stat(environment, &status) == 0 && !S_ISDIR(status.st_mode)) {
            return path.bytes;
        }
        text_append_string(&path, ":");
    }
    if (append_program_directory(&path, program)) {
        text_append_string(&path, ":");
    }
    text_append_string(&path, last_directory);
    return path.bytes;
}

static void ini_defaults(HashTable *configuration)
{
    zval value;
    ZVAL_NEW_STR(&value, zend_string_init(ZEND_STRL("1"), 1));
    zend_hash_str_update(configuration, ZEND_STRL("display_errors"), &value);
}

void fpmd_configuration_prepare(const fpmd_engine_options *options)
{
    text defines = { 0 };

    for (size_t i = 0; i < options->define_count; i++) {
        append_define(&defines, &options->defines[i]);
    }
    fpmd_sapi_module.ini_entries = defines.bytes;
    fpmd_sapi_module.ini_defaults = ini_defaults;
    fpmd_sapi_module.executable_location = strdup(options->executable);
    fpmd_sapi_module.php_ini_ignore = options->no_ini;

    default_ini_dir = options->default_ini_dir ? strdup(options->default_ini_dir) : NULL;
    default_scan_dir = options->default_scan_dir ? strdup(options->default_scan_dir) : NULL;
    if (options->ini_path) {
        fpmd_sapi_module.php_ini_path_override = strdup(options->ini_path);
    } else if (!options->no_ini && default_ini_dir) {
        fpmd_sapi_module.php_ini_path_override = search_path(options->executable, default_ini_dir);
    }
    /* The scan directory can only be told through the environment; it is taken back after start-up. */
    if (default_scan_dir && !getenv("PHP_INI_SCAN_DIR")) {
        scan_dir_lent = setenv("PHP_INI_SCAN_DIR", default_scan_dir, 1) == 0;
    }
}

/* ---- files that PHP passes over ------------------------------------------------------------------- */

/* php-fpm reads its files as root, PHP here as the pool's user; PHP says nothing of a file that it cannot open. */
static bool is_passed_over(const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0 || access(path, R_OK) == 0 || errno != EACCES) {
        return false;
    }
    fpmd_logf(FPMD_WARNING, "%s cannot be read as the pool's user: its settings are not in force", path);
    return true;
}

/* The next part of a list of directories, without the separator; false behind the last one. */
static bool next_directory(const char **list, char *directory, size_t capacity)
{
    size_t length;

    if (!*list) {
        return false;
    }
    length = strcspn(*list, ":");
    snprintf(directory, capacity, "%.*s", (int)length, *list);
    *list = (*list)[length] ? *list + length + 1 : NULL;
    return true;
}

/* Up to the file that PHP reads: it looks no further. */
static void check_searched(const char *list)
{
    static const char *const names[] = { "php-fpm-fcgi.ini", "php.ini" };
    char directory[MAXPATHLEN], path[MAXPATHLEN + sizeof "/php-fpm-fcgi.ini"];
    struct stat status;

    if (stat(list, &status) == 0 && !S_ISDIR(status.st_mode)) {
        is_passed_over(list);
        return;
    }
    while (next_directory(&list, directory, sizeof directory)) {
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            snprintf(path, sizeof path, "%s/%s", directory, names[i]);
            if (!is_passed_over(path) && access(path, R_OK) == 0) {
                return;
            }
        }
    }
}

static void check_scanned(const char *list)
{
    char directory[MAXPATHLEN], path[MAXPATHLEN + NAME_MAX + 2];

    while (next_directory(&list, directory, sizeof directory)) {
        const char *place = directory[0] || !default_scan_dir ? directory : default_scan_dir;
        DIR *entries = opendir(place);
        struct dirent *entry;

        if (!entries) {
            is_passed_over(place);
            continue;
        }
        while ((entry = readdir(entries))) {
            const char *suffix = strrchr(entry->d_name, '.');
            if (suffix && strcmp(suffix, ".ini") == 0) {
                snprintf(path, sizeof path, "%s/%s", place, entry->d_name);
                is_passed_over(path);
            }
        }
        closedir(entries);
    }
}

void fpmd_configuration_check(void)
{
    const char *scanned = getenv("PHP_INI_SCAN_DIR");

    if (fpmd_sapi_module.php_ini_ignore) {
        return;
    }
    if (fpmd_sapi_module.php_ini_path_override) {
        check_searched(fpmd_sapi_module.php_ini_path_override);
    }
    if (scanned) {
        check_scanned(scanned);
    }
}

/* opcache asks for both as well, says nothing at its own log level, and goes without the directory. */
void fpmd_configuration_check_file_cache(void)
{
    zend_ini_entry *entry = zend_hash_str_find_ptr(EG(ini_directives), ZEND_STRL("opcache.file_cache"));

    if (entry && entry->value && ZSTR_LEN(entry->value) && access(ZSTR_VAL(entry->value), R_OK | W_OK) != 0
        && (errno == EACCES || errno == EROFS)) {
        fpmd_logf(FPMD_WARNING, "opcache.file_cache is not in use: the pool's user cannot write to %s",
                  ZSTR_VAL(entry->value));
    }
}

/* Scripts see the directories that are really used, not those compiled into the library. */
static void constant_replace(const char *name, const char *text)
{
    zval *value = text ? zend_get_constant_str(name, strlen(name)) : NULL;
    if (value) {
        ZVAL_STR(value, zend_string_init_interned(text, strlen(text), 1));
    }
}

void fpmd_configuration_constants(void)
{
    constant_replace("PHP_CONFIG_FILE_PATH", default_ini_dir);
    constant_replace("PHP_CONFIG_FILE_SCAN_DIR", default_scan_dir);
}

void fpmd_configuration_settle(void)
{
    if (scan_dir_lent) {
        unsetenv("PHP_INI_SCAN_DIR");
        php_ini_scanned_path = default_scan_dir;    /* phpinfo() prints it; it pointed into the environment */
        scan_dir_lent = false;
    }
}

void fpmd_configuration_free(void)
{
    free(fpmd_sapi_module.ini_entries);
    free(fpmd_sapi_module.executable_location);
    free(fpmd_sapi_module.php_ini_path_override);
    free(default_ini_dir);
    free(default_scan_dir);
    fpmd_sapi_module.ini_entries = NULL;
    fpmd_sapi_module.executable_location = NULL;
    fpmd_sapi_module.php_ini_path_override = NULL;
    default_ini_dir = default_scan_dir = NULL;
}
