<?php
// So many bytes of a pattern that shows where something was lost: line by line, or with ?whole in one piece.
$count = (int) $_GET['bytes'];
ob_start(null, isset($_GET['whole']) ? 0 : 1);
for ($offset = 0; $offset < $count; $offset += 64) {
    echo substr(sprintf("%063d\n", $offset), 0, min(64, $count - $offset));
}
