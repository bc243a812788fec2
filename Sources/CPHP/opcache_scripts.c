/* The list of the scripts in the opcache, a page at a time: there may be hundreds of thousands. */
#include "sapi.h"

#include "ext/json/php_json.h"
#include "zend_smart_str.h"

/* A path whose JSON text is longer is not listed: it could not be asked for again. */
#define LONGEST_PATH 4096
/* What PHP needs for its own list; the pool's memory_limit is for scripts. */
#define LIST_MEMORY ((zend_long)512 << 20)

/* Text is appended only with this function of PHP's: those that its header defines call others, and not all builds of one
   version have the same. */
#define append smart_str_append_printf

typedef struct script {
    zend_string *path;          /* as JSON, quotes included */
    zval *facts;
    zend_long rank;             /* the more, the earlier */
} script;

void fpmd_opcache_scripts_memory(void)
{
    if (PG(memory_limit) > 0 && PG(memory_limit) < LIST_MEMORY) {
        zend_set_memory_limit(LIST_MEMORY);
    }
}

/* A text as JSON; bytes that are no UTF-8 are replaced. */
static zend_string *quoted(zval *text)
{
    smart_str json = { 0 };

    php_json_encode(&json, text,
        PHP_JSON_UNESCAPED_SLASHES | PHP_JSON_UNESCAPED_UNICODE | PHP_JSON_INVALID_UTF8_SUBSTITUTE);
    smart_str_0(&json);
    return json.s;
}

static int in_order(const void *left, const void *right)
{
    const script *one = left, *other = right;

    if (one->rank != other->rank) {
        return one->rank > other->rank ? -1 : 1;
    }
    return strcmp(ZSTR_VAL(one->path), ZSTR_VAL(other->path));
}

static zend_long rank(zval *facts, fpmd_opcache_order order)
{
    static const char *const names[] = {
        [FPMD_OPCACHE_BY_HITS] = "hits",
        [FPMD_OPCACHE_BY_MEMORY] = "memory_consumption",
        [FPMD_OPCACHE_BY_USE] = "last_used_timestamp",
    };
    zval *value = NULL;

    if (order != FPMD_OPCACHE_BY_PATH && order < sizeof names / sizeof *names) {
        value = zend_hash_str_find(Z_ARRVAL_P(facts), names[order], strlen(names[order]));
    }
    return value && Z_TYPE_P(value) == IS_LONG ? Z_LVAL_P(value) : 0;
}

static void append_number(smart_str *text, const char *name, zval *facts)
{
    zval *value = zend_hash_str_find(Z_ARRVAL_P(facts), name, strlen(name));

    if (value && Z_TYPE_P(value) == IS_LONG) {
        append(text, ",\"%s\":" ZEND_LONG_FMT, name, Z_LVAL_P(value));
    }
}

static void append_script(smart_str *text, const script *one)
{
    static const char *const numbers[] = { "hits", "memory_consumption", "last_used_timestamp", "timestamp" };

    append(text, "{\"full_path\":%s", ZSTR_VAL(one->path));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        append_number(text, numbers[i], one->facts);
    }
    append(text, "}");
}

/* The scripts after `cursor`, unordered; returns how many. */
static size_t collect(HashTable *list, zend_string *cursor, fpmd_opcache_order order, script *found)
{
    size_t count = 0;
    zval *facts;

    ZEND_HASH_FOREACH_VAL(list, facts) {
        zval *path = Z_TYPE_P(facts) == IS_ARRAY ? zend_hash_str_find(Z_ARRVAL_P(facts), "full_path", 9) : NULL;
        zend_string *text = path && Z_TYPE_P(path) == IS_STRING ? quoted(path) : NULL;

        if (!text) {
            continue;
        }
        if (ZSTR_LEN(text) > LONGEST_PATH || (cursor && strcmp(ZSTR_VAL(text), ZSTR_VAL(cursor)) <= 0)) {
            zend_string_release(text);
            continue;
        }
        found[count++] = (script){ text, facts, rank(facts, order) };
    } ZEND_HASH_FOREACH_END();
    return count;
}

void fpmd_opcache_scripts(zval *status, const char *after, fpmd_opcache_order order, size_t capacity, smart_str *text)
{
    /* What follows the last script, and the longest numbers in front of the first. */
    static const size_t margin = 64;
    zval *list = Z_TYPE_P(status) == IS_ARRAY ? zend_hash_str_find(Z_ARRVAL_P(status), "scripts", 7) : NULL;
    HashTable *scripts = list && Z_TYPE_P(list) == IS_ARRAY ? Z_ARRVAL_P(list) : NULL;
    size_t total = scripts ? zend_hash_num_elements(scripts) : 0, count = 0, shown = 0;
    script *found = safe_emalloc(total + 1, sizeof *found, 0);
    zend_string *cursor = NULL;
    smart_str body = { 0 };

    if (*after) {
        zval path;

        ZVAL_STRING(&path, after);
        cursor = quoted(&path);
        zval_ptr_dtor(&path);
    }
    if (scripts) {
        count = collect(scripts, cursor, cursor ? FPMD_OPCACHE_BY_PATH : order, found);
        qsort(found, count, sizeof *found, in_order);
    }
    while (shown < count) {
        size_t before = body.s ? ZSTR_LEN(body.s) : 0;

        if (shown > 0) {
            append(&body, ",");
        }
        append_script(&body, &found[shown]);
        if (ZSTR_LEN(body.s) + margin > capacity) {
            ZSTR_LEN(body.s) = before;
            break;
        }
        shown++;
    }
    smart_str_0(&body);
    append(text, "{\"total\":%zu,\"more\":%s,\"scripts\":[%s]}", total, shown < count ? "true" : "false",
           body.s ? ZSTR_VAL(body.s) : "");
    smart_str_0(text);
    for (size_t i = 0; i < count; i++) {
        zend_string_release(found[i].path);
    }
    efree(found);
    smart_str_free(&body);
    if (cursor) {
        zend_string_release(cursor);
    }
}
