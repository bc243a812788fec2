<?php
// Answers, and leaves a process behind that has everything open what this one has: until dir/release appears.
$libc = FFI::cdef('int fork(void); void _exit(int);');
$isChild = $libc->fork() === 0;
if (!$isChild) {
    echo "forked\n";
    if ($_GET['finishes']) fastcgi_finish_request();
    return;
}
touch($_GET['dir'] . '/started.fork');
$deadline = hrtime(true) + 60e9;
while (!file_exists($_GET['dir'] . '/release') && hrtime(true) < $deadline) {
    clearstatcache();
    usleep(20000);
}
touch($_GET['dir'] . '/ended.fork');
$libc->_exit(0);
