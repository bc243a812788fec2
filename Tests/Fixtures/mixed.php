<?php
// Small and large pieces, a message between them, and ?bytes in the largest.
echo "head\n", str_repeat('a', 70000);
error_log('between');
echo 'b', str_repeat('c', (int) $_GET['bytes']), "tail\n";
