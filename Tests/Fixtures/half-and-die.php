<?php
// Part of an answer is on its way when the worker dies.
echo str_repeat('x', 100000);
flush();
posix_kill(getmypid(), 9);
sleep(60);
