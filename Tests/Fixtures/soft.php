<?php
// Waits or computes for ever; its shutdown function says so in the file dir/shutdown.
register_shutdown_function(function () {
    file_put_contents($_GET['dir'] . '/shutdown', error_get_last()['message'] ?? 'none');
    echo 'from the shutdown function';
    if (isset($_GET['stay'])) {
        while (true) {
            usleep(1000);
        }
    }
});
touch($_GET['dir'] . '/started.soft');
if (isset($_GET['sleep'])) {
    sleep(60);
}
while (true) {
    $x = md5('x');
}
