<?php
// Every way to look at the environment.
$env = proc_open(['/usr/bin/env', '-0'], [1 => ['pipe', 'w']], $pipes);
$local = [];
foreach (array_filter(explode("\0", stream_get_contents($pipes[1]))) as $line) {
    [$name, $value] = explode('=', $line, 2);
    $local[$name] = $value;
}
proc_close($env);
header('Content-Type: application/json');
echo json_encode([
    'getenv' => getenv(),
    'process' => $local,
    'env' => $_ENV,
    'single' => getenv($_GET['name'] ?? 'PATH'),
], JSON_INVALID_UTF8_SUBSTITUTE);
