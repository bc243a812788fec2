<?php
$text = 'x';
while (true) {
    $text .= str_repeat('x', 1 << 20);
}
