<?php
header('Content-Type: text/plain; charset=utf-8');

$user = function_exists('posix_geteuid') ? posix_getpwuid(posix_geteuid())['name'] ?? '?' : get_current_user();

echo "Hello from PHP ", PHP_VERSION, " (", PHP_SAPI, ")\n";
echo "worker ", getmypid(), " runs as ", $user, "\n";
echo "opcache: ", function_exists('opcache_get_status') && opcache_get_status(false) ? "on" : "off", "\n";
echo $_SERVER['REQUEST_METHOD'], " ", $_SERVER['REQUEST_URI'], " by way of ", $_SERVER['SERVER_SOFTWARE'], "\n";
