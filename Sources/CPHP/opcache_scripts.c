/* The list of the scripts in the opcache, in pages: there may be hundreds of thousands. */
#include "sapi.h"

#include <errno.h>
#include <unistd.h>

#include "ext/json/php_json.h"
#include "zend_smart_str.h"

/* A path whose JSON text is longer is not listed: it could not be asked for again. */
#define LONGEST_PATH 4096
/* What PHP needs for its own list; the pool's memory_limit is for scripts. */
#define LIST_MEMORY ((zend_long)512 << 20)

/* What is longer together is asked for again: a file of pages is kept for a while. */
#define MOST_PAGES_BYTES ((size_t)64 << 20)

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

/* Writes the page that begins with script `first`; returns the one that the next page begins with. */
static size_t append_page(smart_str *text, const script *found, size_t first, size_t count, size_t total, size_t capacity)
{
    /* What follows the last script, and the longest numbers in front of the first. */
    static const size_t margin = 64;
    smart_str body = { 0 };
    size_t next = first;

    while (next < count) {
        size_t before = body.s ? ZSTR_LEN(body.s) : 0;

        if (next > first) {
            append(&body, ",");
        }
        append_script(&body, &found[next]);
        if (ZSTR_LEN(body.s) + margin > capacity) {
            ZSTR_LEN(body.s) = before;
            break;
        }
        next++;
    }
    smart_str_0(&body);
    append(text, "{\"total\":%zu,\"more\":%s,\"scripts\":[%s]}", total, next < count ? "true" : "false",
           body.s ? ZSTR_VAL(body.s) : "");
    smart_str_free(&body);
    return next;
}

/* All of it, or false. */
static bool write_all(int file, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = write(file, bytes, length);

        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return false;
        }
        bytes += count;
        length -= (size_t)count;
    }
    return true;
}

/* The pages after the first one, each a line; none where the file has no room. */
static void write_pages(int file, const script *found, size_t next, size_t count, size_t total, size_t capacity)
{
    size_t written = 0;

    while (next < count && written < MOST_PAGES_BYTES) {
        smart_str line = { 0 };
        size_t following = append_page(&line, found, next, count, total, capacity);
        bool stays = false;

        append(&line, "\n");
        stays = following > next && write_all(file, ZSTR_VAL(line.s), ZSTR_LEN(line.s));
        if (stays) {
            written += ZSTR_LEN(line.s);
        }
        smart_str_free(&line);
        if (!stays) {
            /* Half a line, if anything. */
            if (ftruncate(file, (off_t)written) != 0) {
                return;
            }
            break;
        }
        next = following;
    }
}

void fpmd_opcache_scripts(zval *status, const char *after, fpmd_opcache_order order, size_t capacity, smart_str *text,
                          int pages)
{
    zval *list = Z_TYPE_P(status) == IS_ARRAY ? zend_hash_str_find(Z_ARRVAL_P(status), "scripts", 7) : NULL;
    HashTable *scripts = list && Z_TYPE_P(list) == IS_ARRAY ? Z_ARRVAL_P(list) : NULL;
    size_t total = scripts ? zend_hash_num_elements(scripts) : 0, count = 0, next = 0;
    script *found = safe_emalloc(total + 1, sizeof *found, 0);
    zend_string *cursor = NULL;

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
    next = append_page(text, found, 0, count, total, capacity);
    smart_str_0(text);
    if (pages >= 0 && next > 0) {
        write_pages(pages, found, next, count, total, capacity);
    }
    for (size_t i = 0; i < count; i++) {
        zend_string_release(found[i].path);
    }
    efree(found);
    if (cursor) {
        zend_string_release(cursor);
    }
}
