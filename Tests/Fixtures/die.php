<?php
// The worker dies on a signal, SIGKILL unless the query names another.
posix_kill(getmypid(), (int) ($_GET['signal'] ?? 9));
sleep(60);
