/* PHP_VALUE, pool values, .user.ini, extensions, disabled functions. */
#include "check.h"

static const char show[] = "<?php foreach (explode(',', $_GET['n']) as $n) echo ini_get($n), ' ';";

static void test_parameters(void)
{
    fixture("show.php", show);
    request("show.php", "QUERY_STRING=n=memory_limit,date.timezone,html_errors",
            "PHP_VALUE=memory_limit=64M\ndate.timezone=Europe/Rome", "PHP_ADMIN_VALUE=html_errors=0", NULL);
    BODY_IS("64M Europe/Rome 0 ");
    request("show.php", "QUERY_STRING=n=memory_limit,date.timezone,html_errors", NULL);
    BODY_IS("128M UTC 1 ");
    fixture("set.php", "<?php echo (int)ini_set('memory_limit', '99M'), (int)ini_set('precision', '5'), ' ',"
                       "ini_get('memory_limit'), ini_get('precision');");
    request("set.php", "PHP_ADMIN_VALUE=memory_limit=64M", NULL);
    BODY_IS("014 64M5");
    /* another script: opcache folds ini_get() of settings that only an administrator can change */
    fixture("set2.php", "<?php echo (int)ini_set('memory_limit', '99M'), ini_get('memory_limit');");
    request("set2.php", NULL);
    BODY_IS("12899M");
    fixture("prepend.php", "<?php echo 'prepended ';");
    request("show.php", "QUERY_STRING=n=precision", "PHP_VALUE=auto_prepend_file=prepend.php", NULL);
    BODY_IS("prepended 14 ");
    /* limits that PHP looks at before the script runs */
    next.body = "a=1";
    next.body_length = 3;
    request("show.php", "REQUEST_METHOD=POST", "CONTENT_TYPE=application/x-www-form-urlencoded",
            "QUERY_STRING=n=post_max_size", "PHP_VALUE=post_max_size=2", NULL);
    ERR_HAS("POST Content-Length of 3 bytes exceeds the limit of 2 bytes");

    request("show.php", "QUERY_STRING=n=precision", "PHP_VALUE=no.such=1\nbare\nmemory_limit[]=3\n[section]", NULL);
    ERR_IS("Passing INI directive through FastCGI: unable to set 'no.such'; "
           "Passing INI directive through FastCGI: empty value for key 'bare'; "
           "Passing INI directive through FastCGI: only classic entries are allowed; "
           "Passing INI directive through FastCGI: only classic entries are allowed");
    BODY_IS("14 ");
}

static void test_pool_values(void)
{
    CHECK(fpmd_php_apply_setting("memory_limit", "32M", true));
    CHECK(fpmd_php_apply_setting("date.timezone", "Europe/Paris", false));
    CHECK(fpmd_php_apply_setting("arg_separator.output", "&amp;", false));
    CHECK(!fpmd_php_apply_setting("no.such", "1", false));
    fixture("dir/show.php", show);
    fixture("dir/.user.ini", "memory_limit=48M\ndate.timezone=Europe/London\nprecision=9\n");
    fixture("dir/deep/show.php", show);
    fixture("dir/deep/.user.ini", "precision=8\n");
    request("show.php", "QUERY_STRING=n=memory_limit,date.timezone,arg_separator.output,precision", NULL);
    BODY_IS("32M Europe/Paris &amp; 14 ");
    request("dir/show.php", "QUERY_STRING=n=memory_limit,date.timezone,precision", NULL);
    BODY_IS("32M Europe/London 9 ");
    request("dir/deep/show.php", "QUERY_STRING=n=memory_limit,date.timezone,precision", NULL);
    BODY_IS("32M Europe/London 8 ");
    request("dir/deep/show.php", "QUERY_STRING=n=memory_limit,date.timezone,precision",
            "PHP_ADMIN_VALUE=memory_limit=40M\nprecision=7", NULL);
    BODY_IS("40M Europe/London 7 ");
    /* cached: the file is gone, its settings stay until user_ini.cache_ttl */
    fixture("dir/.user.ini", "precision=3\n");
    request("dir/show.php", "QUERY_STRING=n=date.timezone,precision", NULL);
    BODY_IS("Europe/London 9 ");
    /* outside the document root only the script's own directory counts; without one, none */
    fixture("other/a/show.php", show);
    fixture("other/.user.ini", "precision=2\n");
    fixture("other/a/.user.ini", "serialize_precision=5\n");
    request("other/a/show.php", "QUERY_STRING=n=precision,serialize_precision", "DOCUMENT_ROOT=/elsewhere", NULL);
    BODY_IS("14 5 ");
    request("other/a/show.php", "QUERY_STRING=n=serialize_precision", "=DOCUMENT_ROOT", NULL);
    BODY_IS("-1 ");
    CHECK(fpmd_php_fix_pathinfo() && !fpmd_php_discard_path());
}

static void test_disabling(void)
{
    fixture("disabled.php", "<?php foreach ($_GET['f'] as $f) echo (int)function_exists($f);");
    CHECK(fpmd_php_apply_setting("disable_functions", "passthru", true));
    request("disabled.php", "QUERY_STRING=f[]=shell_exec&f[]=passthru", NULL);
    BODY_IS("10");
    CHECK(last.outcome == FPMD_DONE);
    request("disabled.php", "QUERY_STRING=f[]=shell_exec&f[]=passthru",
            "PHP_ADMIN_VALUE=disable_functions=shell_exec", NULL);
    BODY_IS("00");
    CHECK(last.outcome == FPMD_RETIRE);
}

static void test_lookups(void)
{
    char value[64];
    size_t length = 0;

    CHECK(fpmd_php_constant("PHP_VERSION", value, sizeof value, &length) && length > 4);
    CHECK(fpmd_php_constant("E_ALL", value, sizeof value, &length) && memcmp(value, "32767", length) == 0);
    CHECK(!fpmd_php_constant("NO_SUCH", value, sizeof value, &length));
    CHECK(fpmd_php_ini_setting("fpm.config", value, sizeof value, &length) && length == 11);
    CHECK(!fpmd_php_ini_setting("no.such", value, sizeof value, &length));
    CHECK(fpmd_php_path_exists("/etc/passwd") && !fpmd_php_path_exists("/nonexistent"));
    CHECK(fpmd_php_is_regular_file("/etc/passwd") && !fpmd_php_is_regular_file("/etc"));
}

void test_settings(void)
{
    test_parameters();
    test_pool_values();
    test_disabling();
    test_lookups();
}
