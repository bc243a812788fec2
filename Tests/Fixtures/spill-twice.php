<?php
// More than a client takes at once, then, when dir/release appears, a little more: with it a part of the rest is sent.
echo str_repeat("0123456789abcdef\n", 56000);
flush();
touch($_GET['dir'] . '/started.spill');
$deadline = hrtime(true) + 60e9;
while (!file_exists($_GET['dir'] . '/release') && hrtime(true) < $deadline) {
    clearstatcache();
    usleep(2000);
}
echo "end\n";
flush();
