<?php
// Output without end; dir/aborted tells how it ended.
register_shutdown_function(function () {
    file_put_contents($_GET['dir'] . '/aborted', (string) connection_status());
});
for ($i = 0; $i < 100000; $i++) {
    echo str_repeat('x', 8192);
    flush();
}
