<?php
// Recursion through an internal function uses the C stack, which has no guard in this version.
ini_set('memory_limit', '-1');
function deeper() {
    array_map('deeper', [1]);
}
deeper();
