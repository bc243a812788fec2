<?php
// A traceable wait.
function slow_function() {
    sleep((int) ($_GET['seconds'] ?? 1));
}
slow_function();
echo "slow\n";
