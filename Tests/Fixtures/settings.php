<?php
// Values of the ini settings named in the query, then after trying to change them, then after taking that back; and the global ones.
header('Content-Type: application/json');
$names = explode(',', $_GET['names']);
$before = array_combine($names, array_map('ini_get', $names));
if (isset($_GET['set'])) {
    foreach ($names as $name) {
        @ini_set($name, $_GET['set']);
    }
}
$after = array_combine($names, array_map('ini_get', $names));
array_map('ini_restore', $names);
$restored = array_combine($names, array_map('ini_get', $names));
$all = ini_get_all();
$global = array_combine($names, array_map(fn ($name) => $all[$name]['global_value'] ?? null, $names));
echo json_encode(['before' => $before, 'after' => $after, 'restored' => $restored, 'global' => $global]);
