<?php
// A worker that turns against the master: whatever code can do that owns the process. `how` says what; `dir` is for
// the test's files, `port` a listener of the test that reads nothing.
$libc = FFI::cdef('
    typedef struct { void *base; size_t length; } vector;
    typedef struct {
        void *name; uint32_t name_length; vector *vectors; size_t count; void *control; size_t control_length; int flags;
    } header;
    int getsockopt(int, int, int, void *, uint32_t *);
    int setsockopt(int, int, int, const void *, uint32_t);
    long send(int, const void *, size_t, int);
    long recv(int, void *, size_t, int);
    int poll(void *, unsigned long, int);
    long sendmsg(int, const header *, int);
    int socket(int, int, int);
    int connect(int, const void *, uint32_t);
    int bind(int, const void *, uint32_t);
    int listen(int, int);
    int pipe(int *);
    int socketpair(int, int, int, int *);
    int getpid();
    int kill(int, int);
    int shutdown(int, int);
    int open(const char *, int, ...);
    int close(int);
    int memfd_create(const char *, unsigned);
    int ftruncate(int, long);
    long lseek(int, long, int);
    int fcntl(int, int, ...);
    long syscall(long, ...);
    void _exit(int);
    void *mmap(void *, size_t, int, int, int, long);
');
const QUEUE = 6, PAGES = 5, NO_WAIT = 0x40;

/** Memory with these bytes. */
function memory(string $bytes): FFI\CData
{
    $memory = FFI::new('char[' . max(1, strlen($bytes)) . ']');
    FFI::memcpy($memory, $bytes, strlen($bytes));
    return $memory;
}

/** The channel to the master, then both ends of the pair for connections: the sockets of their type beside the queue. */
function sockets(): array
{
    global $libc;
    $found = [];
    $type = FFI::new('int');
    $length = FFI::new('uint32_t');
    foreach (scandir('/proc/self/fd') as $number) {
        if (!ctype_digit($number) || (int) $number == QUEUE) continue;
        $length->cdata = 4;
        $isSocket = $libc->getsockopt((int) $number, 1, 3, FFI::addr($type), FFI::addr($length)) == 0;
        if ($isSocket && $type->cdata == 5) $found[] = (int) $number;
    }
    sort($found);
    return count($found) == 3 ? $found : exit('no channel');
}

function channel(): int { return sockets()[0]; }

function message(int $kind, int $flags = 0, int $slot = 0, int $serial = 0, int $value = 0): string
{
    return pack('CCvVqQ', $kind, $flags, 0, $slot, $serial, $value);
}

/** Sends bytes, to the master if not elsewhere, and descriptors with them. */
function put(string $bytes, array $descriptors = [], ?int $socket = null): bool
{
    global $libc;
    $payload = memory($bytes);
    $vector = $libc->new('vector');
    $vector->base = FFI::cast('void *', FFI::addr($payload));
    $vector->length = strlen($bytes);
    $header = $libc->new('header');
    $header->vectors = FFI::addr($vector);
    $header->count = 1;
    if ($descriptors) {
        $length = 16 + 4 * count($descriptors);
        $control = memory(str_pad(pack('QVV', $length, 1, 1) . pack('l*', ...$descriptors), ($length + 7) & ~7, "\0"));
        $header->control = FFI::cast('void *', FFI::addr($control));
        $header->control_length = ($length + 7) & ~7;
    }
    return $libc->sendmsg($socket ?? channel(), FFI::addr($header), NO_WAIT) >= 0;
}

function pair(callable $make): array
{
    $ends = FFI::new('int[2]');
    $make($ends);
    return [$ends[0], $ends[1]];
}

/** A TCP connection with unsent bytes, whose close(2) waits five minutes for a peer that does not read. */
function lingering(): int
{
    global $libc;
    $socket = $libc->socket(2, 1, 0);
    $address = memory(pack('vnN', 2, (int) $_GET['port'], 0x7f000001) . str_repeat("\0", 8));
    if ($libc->connect($socket, FFI::addr($address), 16) != 0) exit('no connection');
    $block = memory(str_repeat('x', 65536));
    while ($libc->send($socket, FFI::addr($block), 65536, NO_WAIT) > 0);
    $option = memory(pack('ll', 1, 300));
    $libc->setsockopt($socket, 1, 13, FFI::addr($option), 8);
    return $socket;
}

/** A connection to a service of this machine. */
function service(): int
{
    global $libc;
    $name = pack('v', 1) . "\0a service of " . getmypid();
    [$listener, $socket] = [$libc->socket(1, 1, 0), $libc->socket(1, 1, 0)];
    $address = memory($name);
    $libc->bind($listener, FFI::addr($address), strlen($name));
    $libc->listen($listener, 1);
    if ($libc->connect($socket, FFI::addr($address), strlen($name)) != 0) exit('no connection');
    return $socket;
}

/**
 * Sends descriptors of which only the master has a copy when it closes them: what comes before keeps it busy meanwhile,
 * or the test has stopped it.
 * Were the own copies the last, closing would make this process wait, and nobody else.
 */
function give(string $bytes, array $descriptors): void
{
    global $libc;
    for ($i = 0; $i < 50; $i++) put(message(37));
    // As long as the channel is full the own copies are the last.
    $writable = memory(pack('lvv', channel(), 4, 0));
    for ($i = 0; !put($bytes, $descriptors); $i++) {
        if ($i == 1000) exit('not given');
        $libc->poll(FFI::addr($writable), 1, 10);
    }
    foreach ($descriptors as $descriptor) $libc->close($descriptor);
    touch($_GET['dir'] . '/given');
}

$pipe = pair(fn ($ends) => $libc->pipe($ends));
$unix = pair(fn ($ends) => $libc->socketpair(1, 1, 0, $ends));
$datagram = pair(fn ($ends) => $libc->socketpair(1, 2, 0, $ends));
$file = $libc->open(__FILE__, 0);
$unsealed = $libc->memfd_create('unsealed', 2);
$libc->ftruncate($unsealed, 4096);
[$how, $detail] = explode('.', $_GET['how'] . '.');
touch($_GET['dir'] . '/hostile');
switch ($how) {
    case 'noise': put("\xff" . random_bytes(39)); break;
    case 'short': put('no'); break;
    case 'long': put(str_repeat("\xee", 120000)); break;
    case 'many': put(message(33), array_fill(0, 200, $pipe[0])); break;
    case 'noiseWithLinger': give("\xff", [lingering(), lingering()]); break;
    case 'kind': put(message((int) $detail, 0, 3, -1, 1)); break;
    case 'readyWithPipe': put(message(32), $pipe); break;
    case 'parkNothing': put(message(33)); break;
    case 'parkTwo': put(message(33), $unix); break;
    case 'parkPipe': put(message(33), [$pipe[0]]); break;
    case 'parkFile': put(message(33), [$file]); break;
    case 'parkDatagram': put(message(33), [$datagram[0]]); break;
    case 'parkChannel': put(message(33), [channel()]); break;
    case 'parkPages': put(message(33), [PAGES]); break;
    case 'parkService': put(message(33), [service()]); break;
    case 'parkUnconnected': put(message(33), [$libc->socket(1, 1, 0)]); break;
    case 'lingerPipe': put(message(34), [$pipe[1]]); break;
    case 'shareNothing': put(message(40)); break;
    case 'sharePipe': put(message(40), [$pipe[0]]); break;
    case 'shareService': put(message(40, 3, 0, 1), [service()]); break;
    case 'shareBeyond': put(message(40, 1, 16, 1), [$unix[0]]); break;
    case 'shareUncounted': put(message(40, 1, 0, -1), [$unix[0]]); break;
    case 'unshareWithPipe': put(message(41), [$pipe[0]]); break;
    case 'readyWithDeposit': put(message(32), [$unix[0]]); break;
    case 'dieWithDeposit':
        // What the master finds there is not this request's connection, or none, or more than one.
        $deposit = sockets()[1];
        $found = match ($detail) {
            'pipe' => [$pipe[0]],
            'lingering' => [lingering()],
            'two' => [lingering(), lingering()],
            'nothing' => [],
        };
        for ($i = 0; $i < 8; $i++) put($detail == 'nothing' ? 'no' : message(42), $found, $deposit);
        foreach ($found as $descriptor) $libc->close($descriptor);
        $libc->kill($libc->getpid(), 9);
    case 'parkUnchecked':
        // A connection from 127.0.0.2 with a request on it, once the test wants it.
        $socket = $libc->socket(2, 1, 0);
        $address = memory(pack('vnN', 2, (int) $_GET['port'], 0x7f000002) . str_repeat("\0", 8));
        if ($libc->connect($socket, FFI::addr($address), 16) != 0) exit('no connection');
        for ($i = 0; $i < 30000 && !file_exists($_GET['dir'] . '/park'); $i++, clearstatcache()) usleep(2000);
        put(message(33, 0, 0, 0, 1) . hex2bin($_GET['bytes']), [$socket]);
        $libc->close($socket);
        for ($i = 0; $i < 30000 && !file_exists($_GET['dir'] . '/release'); $i++, clearstatcache()) usleep(2000);
        exit('parked');
    case 'parkUnsealed': put(message(33, 32), [$unix[0], $unsealed]); break;
    case 'scriptsTooLong':
        // Would take the master long to give back: more than a list of scripts can be.
        $libc->ftruncate($unsealed, 81 << 20);
        $libc->fcntl($unsealed, 1033, 15);
        put(message(38), [$unsealed]);
        break;
    case 'deliverTooLong':
        // Most of it sent already.
        $libc->ftruncate($unsealed, 81 << 20);
        $libc->fcntl($unsealed, 1033, 15);
        put(message(36, 0, 0, 0, (81 << 20) - 1), [$unix[0], $unsealed]);
        break;
    case 'deliverService':
        // What the master sends there would be root's word.
        $libc->fcntl($unsealed, 1033, 15);
        put(message(36), [service(), $unsealed]);
        break;
    case 'deliverPipe': put(message(36), [$unix[0], $pipe[0]]); break;
    case 'deliverUnsealed': put(message(36), [$unix[0], $unsealed]); break;
    case 'deliverBeyond': give(message(36, 0, 0, 0, -1), [lingering(), $unsealed]); break;
    case 'lies':
        // All of them a worker's, none of them true.
        foreach ([0, 1, 0x7fffffff, 0xffffffff] as $number) {
            put(message(32, 255, $number, $number, -1));
            put(message(37, 255, $number, -$number));
            put(message(38, 255, $number, $number) . '{"a":');
            put(message(35, $number & 8, $number, -1));
            put(message(33, 3, $number, 0, -1) . "\1\1garbage", [$unix[0]]);
            give(message(33, 2, $number, 0, -1), [lingering()]);
            give(message(34), [lingering()]);
            // In a place whose page says nothing of it, and in one where there is another.
            give(message(40, 3, $number & 15, $number & 0x3fffffff, -1), [lingering()]);
            put(message(40, 3, 1, 1), [$unix[0]]);
            put(message(41, 0, $number, $number));
            put(message(41, 0, $number & 15, $number & 0x3fffffff));
            put(message(41, 0, 1, 1));
        }
        exit('lied');
    case 'siblings':
        // Children of the master that nobody has named (CLONE_PARENT).
        for ($i = 0; $i < 500; $i++) {
            if ($libc->syscall(56, 0x8000 | 17, null, null, null, null) == 0) $libc->_exit(3);
        }
        exit('multiplied');
    case 'opcache':
        // Figures that nobody has: the answer to whoever asks for the opcache's status.
        $order = FFI::new('char[65536]');
        $readable = memory(pack('lvv', channel(), 1, 0));
        do {
            $libc->poll(FFI::addr($readable), 1, 30000);
            if ($libc->recv(channel(), FFI::addr($order), 65536, NO_WAIT) < 24) exit('not asked');
            $head = unpack('Ckind/Cflags/vnone/Vslot/qserial', FFI::string($order, 16));
        } while ($head['kind'] != 3);
        $numbers = fn (array $names) => array_fill_keys($names, $detail == 'least' ? PHP_INT_MIN : PHP_INT_MAX);
        put(message(38, 0, $head['slot'], $head['serial']) . json_encode([
            'opcache_enabled' => true,
            'memory_usage' => $numbers(['used_memory', 'free_memory', 'wasted_memory']),
            'interned_strings_usage' => $numbers(['used_memory', 'buffer_size']),
            'opcache_statistics' => $numbers([
                'num_cached_scripts', 'num_cached_keys', 'max_cached_keys', 'hits', 'misses', 'oom_restarts', 'hash_restarts',
                'manual_restarts',
            ]),
        ]));
        exit('answered');
    case 'crash': put(message(39, 0, 9999, 0, PHP_INT_MAX)); exit('as if');
    case 'flood':
        $end = hrtime(true) + 1e9;
        while (hrtime(true) < $end) put(message(37));
        exit('flooded');
    case 'pages':
        $size = $libc->lseek(PAGES, 0, 2);
        $libc->ftruncate(PAGES, 0);
        $pages = $libc->mmap(null, $size, 3, 1, PAGES, 0);
        $end = hrtime(true) + 1e9;
        while (hrtime(true) < $end) {
            foreach ([0xff, 0x7f, 0x01, 0x80] as $byte) FFI::memset($pages, $byte, $size);
            FFI::memcpy($pages, random_bytes($size), $size);
        }
        exit('scribbled');
    case 'queue':
        $noise = memory(random_bytes(64));
        for ($i = 0; $i < 1000; $i++) $libc->send(QUEUE, FFI::addr($noise), 64, NO_WAIT);
        $libc->shutdown(QUEUE, 2);
        exit('shut');
}
// To be killed.
sleep(60);
