<?php
// Requests /srv/hello.php again and again, each on a new connection of its own, four at a time, until /run/stop-load
// exists; then says how many were answered, after one line for each that was not.
require __DIR__ . '/fastcgi.php';

$processes = [];
for ($number = 0; $number < 4; $number++) {
    $processes[] = popen(PHP_BINARY . ' ' . __DIR__ . '/load-one.php', 'r');
}
file_put_contents('/run/load.begun', '1');
$answered = 0;
foreach ($processes as $process) {
    foreach (explode("\n", trim(stream_get_contents($process))) as $line) {
        if (str_starts_with($line, 'answered ')) {
            $answered += (int) substr($line, 9);
        } else {
            echo "$line\n";
        }
    }
}
echo "answered $answered\n";
