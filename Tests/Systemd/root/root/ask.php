<?php
// Usage: ask.php SOCKET - requests /srv/hello.php there and prints the answer.
require __DIR__ . '/fastcgi.php';
$problem = '';
echo ask($argv[1], '/srv/hello.php', $problem) ?? $problem;
