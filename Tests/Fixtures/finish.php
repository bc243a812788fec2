<?php
// Answers, then goes on: dir/finished holds what a second call returned.
echo "answer\n";
$first = fastcgi_finish_request();
echo "never seen\n";
$deadline = microtime(true) + 60;
while (!file_exists($_GET['dir'] . '/release') && microtime(true) < $deadline) {
    clearstatcache();
    usleep(2000);
}
file_put_contents($_GET['dir'] . '/finished', var_export($first, true));
