<?php
// So many bytes of a pattern that shows where something was lost.
$count = (int) $_GET['bytes'];
for ($offset = 0; $offset < $count; $offset += 64) {
    echo substr(sprintf("%063d\n", $offset), 0, min(64, $count - $offset));
}
