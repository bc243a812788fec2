<?php
// Answers, and leaves a process behind that has everything open what this one has: until dir/release appears. Then
// that ends, as `how` says: by returning from the script, by exit, after finishing the request once more, or at once.
$libc = FFI::cdef('int fork(void); int waitpid(int, int *, int); void _exit(int);');
$pid = $libc->fork();
if ($pid !== 0) {
    $libc->waitpid($pid, null, 0);
    echo "forked\n";
    if ($_GET['finishes'] ?? false) fastcgi_finish_request();
    return;
}
if ($libc->fork() !== 0) $libc->_exit(0);
file_put_contents($_GET['dir'] . '/fork', basename(readlink('/proc/self')));
$deadline = hrtime(true) + 60e9;
while (!file_exists($_GET['dir'] . '/release') && hrtime(true) < $deadline) {
    clearstatcache();
    usleep(20000);
}
switch ($_GET['how'] ?? '') {
    case 'return': return;
    case 'exit': exit(7);
    case 'finish': fastcgi_finish_request(); exit;
    default: $libc->_exit(0);
}
