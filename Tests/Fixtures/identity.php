<?php
// Who runs this, and where.
header('Content-Type: application/json');
echo json_encode([
    'uid' => posix_geteuid(),
    'gid' => posix_getegid(),
    'real_uid' => posix_getuid(),
    'groups' => posix_getgroups(),
    'cwd' => getcwd(),
    'root' => @scandir('/'),
    'limits' => posix_getrlimit(),
    'parent_is_master' => posix_getppid() === (int) ($_GET['master'] ?? 0),
]);
