<?php
// Waits for some milliseconds.
usleep(1000 * (int) ($_GET['ms'] ?? 100));
echo "paused\n";
