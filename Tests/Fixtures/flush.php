<?php
// A first part at once, the rest when dir/release appears.
echo "first\n";
flush();
$deadline = microtime(true) + 60;
while (!file_exists($_GET['dir'] . '/release') && microtime(true) < $deadline) {
    clearstatcache();
    usleep(2000);
}
echo "second\n";
