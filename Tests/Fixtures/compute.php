<?php
// Takes some milliseconds of a processor, and waits for nothing.
for ($i = 0, $sum = 0; $i < 20000; $i++) {
    $sum += crc32("page $i");
}
echo "computed\n";
