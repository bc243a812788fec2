<?php
// Garbage without line ends, with control characters and false lines, until it is released.
$error = fopen('php://stderr', 'w');
$garbage = str_repeat("\x00\x1b[2J\xff[01-Jan-2026 00:00:00] ALERT: false\r", 200) . "\n" . str_repeat('x', 8000);
file_put_contents($_GET['dir'] . '/flooding', 'x');
while (!file_exists($_GET['dir'] . '/release')) {
    fwrite($error, $garbage);
    clearstatcache();
}
echo "done\n";
