<?php
// The worker dies by a signal, deep in its work; with "loop" by one from outside.
class Trouble {
    function make(int $signal) {
        if (isset($_GET['loop'])) {
            file_put_contents($_GET['dir'] . '/started', 'x');
            for (;;);
        }
        posix_kill(getmypid(), $signal);
        sleep(60);
    }
}
(new Trouble)->make((int) ($_GET['signal'] ?? 11));
