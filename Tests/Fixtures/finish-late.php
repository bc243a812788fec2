<?php
// Waits for dir/answer, answers, and goes on until dir/release appears.
function wait_for($name) {
    $deadline = microtime(true) + 60;
    while (!file_exists($_GET['dir'] . $name) && microtime(true) < $deadline) {
        clearstatcache();
        usleep(2000);
    }
}
touch($_GET['dir'] . '/started.late');
wait_for('/answer');
echo "answer\n";
fastcgi_finish_request();
wait_for('/release');
touch($_GET['dir'] . '/ended.late');
