/* Ways to start PHP: with and without php.ini, extensions loaded later, preloading. */
#include "check.h"

#include <sys/stat.h>
#include <unistd.h>

/* Loaded by the pool, by a request; both stay. */
void test_extensions(void)
{
    static const char *const defines[] = { "date.timezone=Asia/Tokyo", "error_prepend_string=<b>", NULL };

    setenv("PHP_INI_SCAN_DIR", "", 1);
    harness_start(defines);
    fpmd_php_worker_init();
    fixture("has.php", "<?php foreach (['cal_days_in_month', 'ctype_alpha', 'posix_getpid'] as $f)"
                       "echo (int)function_exists($f); echo ' ', ini_get('date.timezone'), ini_get('error_prepend_string'),"
                       "getenv('PHP_INI_SCAN_DIR') === '' ? ' user' : ' ours';");
    request("has.php", NULL);
    BODY_IS("000 Asia/Tokyo<b> user");
    CHECK(fpmd_php_apply_setting("extension", "calendar", false));
    request("has.php", NULL);
    BODY_IS("100 Asia/Tokyo<b> user");
    request("has.php", "PHP_VALUE=extension=ctype", NULL);
    BODY_IS("110 Asia/Tokyo<b> user");
    request("has.php", "PHP_VALUE=extension=nosuch", NULL);
    BODY_IS("110 Asia/Tokyo<b> user");
    ERR_HAS("Unable to load dynamic library 'nosuch'");
    fixture("uses.php", "<?php echo cal_days_in_month(CAL_GREGORIAN, 2, 2024), (int)ctype_alpha('x');");
    request("uses.php", NULL);
    BODY_IS("291");
}

/* Preloading runs a script before there is any request. */
void test_preloading(void)
{
    char define[4200];
    const char *const defines[] = { define, "opcache.preload_user=nobody", "opcache.file_update_protection=0", NULL };

    chmod(fixtures, 0755);
    fixture("preload.php", "<?php function preloaded() { return 'preloaded'; } error_log('preloading');"
                           "class P { public array $seen; }");
    fixture("uses-preload.php", "<?php echo preloaded(), PHP_SAPI;");
    snprintf(define, sizeof define, "opcache.preload=%s/preload.php", fixtures);
    harness_start(defines);
    fpmd_php_worker_init();
    request("uses-preload.php", NULL);
    BODY_IS("preloadedfpm-fcgi");
}
