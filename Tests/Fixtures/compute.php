<?php
// Takes four milliseconds of a processor, however fast it is, and waits for nothing.
function processor_time(): float
{
    $used = getrusage();
    return $used['ru_utime.tv_sec'] + $used['ru_stime.tv_sec']
        + ($used['ru_utime.tv_usec'] + $used['ru_stime.tv_usec']) / 1e6;
}
for ($end = processor_time() + 0.004, $sum = 0; processor_time() < $end;) {
    for ($i = 0; $i < 500; $i++) {
        $sum += crc32("page $i");
    }
}
echo "computed\n";
