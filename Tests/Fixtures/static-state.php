<?php
// Nothing of one request may be seen in the next.
static $counter = 0;
$GLOBALS['seen'] = ($GLOBALS['seen'] ?? 0) + 1;
putenv('LEAKED=yes');
define('ONCE', 1);
echo ++$counter, ' ', $GLOBALS['seen'], "\n";
