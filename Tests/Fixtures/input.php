<?php
// What arrived as the body, seen in each way that PHP offers.
header('Content-Type: application/json');
$files = [];
foreach ($_FILES as $name => $file) {
    $files[$name] = [
        'name' => $file['name'],
        'type' => $file['type'],
        'size' => $file['size'],
        'error' => $file['error'],
        'md5' => $file['error'] === 0 ? md5_file($file['tmp_name']) : null,
        'is_uploaded_file' => $file['error'] === 0 && is_uploaded_file($file['tmp_name']),
    ];
}
$input = file_get_contents('php://input');
echo json_encode([
    'method' => $_SERVER['REQUEST_METHOD'] ?? null,
    'get' => $_GET,
    'post' => $_POST,
    'cookie' => $_COOKIE,
    'files' => $files,
    'length' => strlen($input),
    'md5' => md5($input),
]);
