<?php
// Usage: many.php SOCKET COUNT - so many requests one after the other, each answered; fails at the first that is not.
require __DIR__ . '/fastcgi.php';
for ($left = (int) $argv[2]; $left > 0; $left--) {
    $problem = '';
    if (ask($argv[1], '/srv/hello.php', $problem) !== 'hello') {
        fwrite(STDERR, "$problem\n");
        exit(1);
    }
}
