<?php
// Leaves its process with some more descriptors, as persistent connections do.
for ($i = 0; $i < (int) $_GET['count']; $i++) {
    @pfsockopen('udp://127.0.0.1', random_int(10000, 60000));
}
usleep(random_int(0, 3000));
echo "left\n";
