<?php
// Values of the ini settings named in the query, then after trying to change them.
header('Content-Type: application/json');
$names = explode(',', $_GET['names']);
$before = array_combine($names, array_map('ini_get', $names));
if (isset($_GET['set'])) {
    foreach ($names as $name) {
        @ini_set($name, $_GET['set']);
    }
}
echo json_encode(['before' => $before, 'after' => array_combine($names, array_map('ini_get', $names))]);
