<?php
// Sessions that are written when the request ends, and take more of the processor than max_execution_time.
function used(): float
{
    $usage = getrusage();
    return $usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec']
        + ($usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec']) / 1e6;
}
final class Slow implements SessionHandlerInterface
{
    public function open(string $path, string $name): bool { return true; }
    public function close(): bool { return true; }
    public function read(string $id): string { return ''; }
    public function destroy(string $id): bool { return true; }
    public function gc(int $lifetime): int { return 0; }
    public function write(string $id, string $data): bool
    {
        $begin = used();
        while (used() - $begin < 2) {
        }
        error_log("written: $data");
        return true;
    }
}
ini_set('session.use_cookies', '0');
session_id('aaaaaaaaaaaaaaaaaaaaaaaaaa');
session_set_save_handler(new Slow(), false);
session_start();
$_SESSION['count'] = 1;
set_time_limit(1);
echo 'answer';
