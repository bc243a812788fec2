<?php
// A zygote that names one child as two workers; what a preloaded script can do that owns the process.
$libc = FFI::cdef('
    typedef struct { void *base; size_t length; } vector;
    typedef struct {
        void *name; uint32_t name_length; vector *vectors; size_t count; void *control; size_t control_length; int flags;
    } header;
    long send(int, const void *, size_t, int);
    long recvmsg(int, header *, int);
    long syscall(long, ...);
    unsigned sleep(unsigned);
    int usleep(unsigned);
    void _exit(int);
');
const CHANNEL = 3, SPAWN = 1, READY = 16, SPAWNED = 17, WORKER_READY = 32, SYS_CLONE = 56, SIBLING = 0x8000 | 17;

function say(int $socket, int $kind, int $slot = 0, int $serial = 0, int $value = 0): void
{
    global $libc;
    $libc->send($socket, pack('CCvVqQ', $kind, 0, 0, $slot, $serial, $value), 24, 0);
}

/** The next order to start a worker: slot, serial number, the worker's channel. */
function order(): array
{
    global $libc;
    $payload = FFI::new('char[4096]');
    $control = FFI::new('char[256]');
    $vector = $libc->new('vector');
    $vector->base = FFI::cast('void *', FFI::addr($payload));
    $vector->length = 4096;
    $header = $libc->new('header');
    $header->vectors = FFI::addr($vector);
    $header->count = 1;
    do {
        $header->control = FFI::cast('void *', FFI::addr($control));
        $header->control_length = 256;
        // The channel does not wait.
        while (($count = $libc->recvmsg(CHANNEL, FFI::addr($header), 0)) < 0) $libc->usleep(1000);
        if ($count == 0) $libc->_exit(0);
        $message = unpack('Ckind/Cflags/vnone/Vslot/qserial', FFI::string($payload, 16));
    } while ($message['kind'] != SPAWN);
    return [$message['slot'], $message['serial'], unpack('l', FFI::string($control, 20), 16)[1]];
}

say(CHANNEL, READY);
[$slot, $serial, $channel] = order();
[$other, $next] = order();
$child = $libc->syscall(SYS_CLONE, SIBLING, NULL, NULL, NULL, NULL);
if ($child == 0) {
    $libc->sleep(1);
    say($channel, WORKER_READY, $slot);
    $libc->_exit(0);
}
say(CHANNEL, SPAWNED, $slot, $serial, $child);
say(CHANNEL, SPAWNED, $other, $next, $child);
$libc->sleep(60);
