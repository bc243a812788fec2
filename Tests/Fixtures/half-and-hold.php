<?php
// Sends a part of its answer, then waits.
echo "half\n";
flush();
touch($_GET['dir'] . '/started.half');
sleep(60);
