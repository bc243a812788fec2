<?php
// One FastCGI request on a connection of its own: the body of the answer, or null and what went wrong.
function ask(string $socket, string $script, string &$problem): ?string
{
    $connection = @stream_socket_client("unix://$socket", $code, $text, 20);
    if (!$connection) {
        $problem = "connect: $text";
        return null;
    }
    stream_set_timeout($connection, 20);
    $pairs = '';
    foreach (['SCRIPT_FILENAME' => $script, 'REQUEST_METHOD' => 'GET', 'REQUEST_URI' => '/load'] as $name => $value) {
        $pairs .= chr(strlen($name)) . chr(strlen($value)) . $name . $value;
    }
    $record = fn(int $type, string $content) => pack('CCnnCx', 1, $type, 1, strlen($content), 0) . $content;
    $request = $record(1, pack('nCx5', 1, 0)) . $record(4, $pairs) . $record(4, '') . $record(5, '');
    if (@fwrite($connection, $request) !== strlen($request)) {
        $problem = 'the request was not taken';
        return null;
    }
    $bytes = @stream_get_contents($connection);
    $output = '';
    $ended = false;
    for ($offset = 0; $offset + 8 <= strlen($bytes);) {
        ['type' => $type, 'length' => $length, 'padding' => $padding] =
            unpack('Cversion/Ctype/nid/nlength/Cpadding', $bytes, $offset);
        if ($type === 6) {
            $output .= substr($bytes, $offset + 8, $length);
        }
        $ended = $ended || $type === 3;
        $offset += 8 + $length + $padding;
    }
    if (!$ended) {
        $problem = 'no answer: ' . strlen($bytes) . ' bytes';
        return null;
    }
    return explode("\r\n\r\n", $output, 2)[1] ?? null;
}
