<?php
// Appends its name to the file dir/order: scripts show there in which order they ran.
file_put_contents($_GET['dir'] . '/order', $_GET['name'] . "\n", FILE_APPEND);
echo $_SERVER['FPM_QUEUE_TIME'] ?? 'none';
