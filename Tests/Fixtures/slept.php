<?php
// Sleeps once for some milliseconds, and says how many of them it has slept; a signal ends that early.
if (isset($_GET['name'])) touch($_GET['dir'] . '/started.' . $_GET['name']);
$begin = hrtime(true);
usleep(1000 * (int) $_GET['ms']);
echo intdiv(hrtime(true) - $begin, 1000000);
