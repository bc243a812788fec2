<?php
// Says that it has begun by making the file dir/started.NAME, and ends when dir/release appears.
$dir = $_GET['dir'];
touch($dir . '/started.' . $_GET['name']);
$deadline = hrtime(true) + 60e9;
while (!file_exists($dir . '/release') && hrtime(true) < $deadline) {
    clearstatcache();
    usleep(2000);
}
touch($dir . '/ended.' . $_GET['name']);
echo 'held ', $_GET['name'];
