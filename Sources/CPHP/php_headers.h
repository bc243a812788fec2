/* PHP's headers, in one place: the only door through which a Zend header enters the package. */
#ifndef FPMD_PHP_HEADERS_H
#define FPMD_PHP_HEADERS_H

#if !__has_include(<main/php.h>)
#error "PHP 8.2's headers are missing: apt-get install php8.2-dev libphp8.2-embed"
#endif

/* PHP's headers are not clean under -Wall -Wextra; ours are. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wpragmas"
#include <main/php.h>
#include <main/SAPI.h>
#include <main/http_status_codes.h>
#include <main/php_ini.h>
#include <main/php_main.h>
#include <main/php_output.h>
#include <main/php_variables.h>
#include <ext/random/php_random.h>
#include <ext/standard/basic_functions.h>
#include <ext/standard/dl.h>
#include <ext/standard/head.h>
#include <ext/standard/info.h>
#include <Zend/zend_extensions.h>
#include <Zend/zend_ini_scanner.h>
#include <Zend/zend_signal.h>
#include <Zend/zend_stream.h>
#include <Zend/zend_virtual_cwd.h>
#pragma GCC diagnostic pop

#ifdef ZTS
#error "fpmd needs a PHP built without thread safety (NTS), as php-fpm uses"
#endif

#endif
