<?php
// Flushes without any output until the client has gone; dir/aborted tells how it ended.
register_shutdown_function(function () {
    file_put_contents($_GET['dir'] . '/aborted', (string) connection_status());
});
file_put_contents($_GET['dir'] . '/started', '1');
$deadline = microtime(true) + 10;
while (microtime(true) < $deadline) {
    flush();
    usleep(2000);
}
