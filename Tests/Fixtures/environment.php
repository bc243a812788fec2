<?php
// Every way to look at the environment.
header('Content-Type: application/json');
echo json_encode([
    'getenv' => getenv(),
    'local' => getenv(null, true),
    'env' => $_ENV,
    'single' => getenv($_GET['name'] ?? 'PATH'),
], JSON_INVALID_UTF8_SUBSTITUTE);
