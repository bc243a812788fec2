<?php
// What kind of PHP this is.
header('Content-Type: application/json');
echo json_encode([
    'version' => PHP_VERSION,
    'sapi' => php_sapi_name(),
    'constant' => PHP_SAPI,
    'extensions' => get_loaded_extensions(),
    'zend' => get_loaded_extensions(true),
    'loaded' => php_ini_loaded_file(),
    'scanned' => php_ini_scanned_files(),
    'functions' => get_extension_funcs('cgi-fcgi'),
    'internal' => get_defined_functions()['internal'],
    'classes' => get_declared_classes(),
    'ini' => ini_get_all(null, true),
    'constants' => array_map('count', get_defined_constants(true)),
    'settings' => array_map(fn ($name) => count((new ReflectionExtension($name))->getINIEntries()),
        get_loaded_extensions()),
    'zts' => PHP_ZTS,
    'debug' => PHP_DEBUG,
    'binary' => PHP_BINARY,
    'umask' => umask(),
    'streams' => stream_get_wrappers(),
    'include_path' => get_include_path(),
    'tmp' => sys_get_temp_dir(),
]);
