#include "check.h"

/* ---- the operator's look at the opcache, between two requests --------------------------------------- */

/* Counts how often a text occurs. */
static int occurrences(const char *text, const char *part)
{
    int count = 0;

    for (; (text = strstr(text, part)); text += strlen(part)) {
        count++;
    }
    return count;
}

/* The pages of the list, joined; the cursor is cut out of each. Returns how many there were. */
static int all_pages(char *list, size_t room, size_t capacity)
{
    char page[4096], cursor[1024] = "";
    int pages = 0;

    *list = '\0';
    for (;;) {
        ssize_t length = fpmd_php_opcache(FPMD_OPCACHE_SCRIPTS, cursor, FPMD_OPCACHE_BY_PATH, page, capacity, -1);
        char *last = NULL;

        if (length <= 0 || (size_t)length > capacity || strlen(list) + (size_t)length >= room || ++pages > 1000) {
            return -1;
        }
        page[length] = '\0';
        strcat(list, page);
        if (!strstr(page, "\"more\":true")) {
            return pages;
        }
        for (char *at = page; (at = strstr(at, "\"full_path\":\"")); at++) {
            last = at + strlen("\"full_path\":\"");
        }
        if (!last) {
            return -1;
        }
        snprintf(cursor, sizeof cursor, "%.*s", (int)strcspn(last, "\""), last);
    }
}

/* The first page and those that go into a file, as one list. Returns how many are in the file. */
static int pages_at_once(char *list, size_t room, size_t capacity)
{
    FILE *file = tmpfile();
    ssize_t length = fpmd_php_opcache(FPMD_OPCACHE_SCRIPTS, "", FPMD_OPCACHE_BY_PATH, list, capacity, fileno(file));
    size_t end = length > 0 ? (size_t)length : 0;

    rewind(file);
    end += fread(list + end, 1, room - end - 1, file);
    list[end] = '\0';
    fclose(file);
    return occurrences(list, "]}\n");
}

void test_opcache(void)
{
    static char list[1 << 20];
    char name[64];
    ssize_t length;

    if (fpmd_php_opcache(FPMD_OPCACHE_SCRIPTS, "", FPMD_OPCACHE_BY_PATH, list, sizeof list, -1) == -1) {
        return;                                 /* sanitized, without extensions */
    }
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "cached/%02d.php", i);
        fixture(name, "<?php return 1;");
    }
    fixture("cache-all.php", "<?php foreach (glob(__DIR__ . '/cached/*.php') as $f) echo (int)opcache_compile_file($f);");
    request("cache-all.php", NULL);
    BODY_IS("1111111111111111111111111111111111111111");
    CHECK(all_pages(list, sizeof list, 4095) >= 2);
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "/cached/%02d.php\",\"hits\":", i);
        CHECK(occurrences(list, name) == 1);
    }
    /* Room for few, for none, and nothing after the last. */
    CHECK(all_pages(list, sizeof list, 512) >= 20);
    CHECK(occurrences(list, "/cached/") == 40);
    CHECK(pages_at_once(list, sizeof list, 512) >= 19);
    CHECK(occurrences(list, "/cached/") == 40 && occurrences(list, "\"more\":false") == 1);
    CHECK(strstr(list, "/cached/00.php") < strstr(list, "/cached/39.php"));
    CHECK(pages_at_once(list, sizeof list, sizeof list / 2) == 0 && occurrences(list, "/cached/") == 40);
    CHECK(pages_at_once(list, sizeof list, 100) == 0);
    length = fpmd_php_opcache(FPMD_OPCACHE_SCRIPTS, "", FPMD_OPCACHE_BY_PATH, list, 100, -1);
    list[length > 0 ? length : 0] = '\0';
    CHECK(strstr(list, "\"more\":true,\"scripts\":[]}"));
    length = fpmd_php_opcache(FPMD_OPCACHE_SCRIPTS, "\xff\xff", FPMD_OPCACHE_BY_PATH, list, sizeof list - 1, -1);
    CHECK(length > 0 && !memchr(list, '/', (size_t)length));
    /* the most used first */
    fixture("use.php", "<?php for ($i = 0; $i < 3; $i++) include __DIR__ . '/cached/17.php';");
    request("use.php", NULL);
    length = fpmd_php_opcache(FPMD_OPCACHE_SCRIPTS, "", FPMD_OPCACHE_BY_HITS, list, 4095, -1);
    list[length > 0 ? length : 0] = '\0';
    CHECK(strstr(list, "/cached/17.php") && strstr(list, "/cached/17.php") < strstr(list, "/cached/00.php"));
    CHECK(fpmd_php_opcache(FPMD_OPCACHE_STATUS, "", FPMD_OPCACHE_BY_PATH, list, sizeof list, -1) > 0);
    CHECK(fpmd_php_opcache(FPMD_OPCACHE_STATUS, "", FPMD_OPCACHE_BY_PATH, list, 10, -1) == -2);
    if (getenv("USE_ZEND_ALLOC")) {
        return;                                 /* an allocator without limits */
    }
    /* the pool's limit is for scripts, and holds for them afterwards */
    fixture("limit.php", "<?php $x = str_repeat('x', 300 << 20);");
    request("limit.php", NULL);
    ERR_HAS("Allowed memory size of 134217728 bytes exhausted");
}
