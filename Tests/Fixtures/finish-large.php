<?php
// A large answer, then goes on until dir/release appears.
echo str_repeat("0123456789abcdef\n", 40000);
fastcgi_finish_request();
touch($_GET['dir'] . '/started.finish');
$deadline = microtime(true) + 60;
while (!file_exists($_GET['dir'] . '/release') && microtime(true) < $deadline) {
    clearstatcache();
    usleep(2000);
}
touch($_GET['dir'] . '/ended.finish');
