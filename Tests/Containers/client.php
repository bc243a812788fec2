<?php
// One FastCGI request over TCP for the script that SCRIPT_FILENAME names; prints the body. Its standard error, which has what
// the script logs, is what a web server logs.
$script = getenv("SCRIPT_FILENAME");
$parameters = "";
foreach ([
    "SCRIPT_FILENAME" => $script, "SCRIPT_NAME" => "/" . basename($script), "REQUEST_METHOD" => "GET",
    "REQUEST_URI" => "/" . basename($script), "SERVER_PROTOCOL" => "HTTP/1.1", "QUERY_STRING" => "",
] as $name => $value) {
    $parameters .= chr(strlen($name)) . chr(strlen($value)) . $name . $value;
}
$record = fn (int $type, string $content) => pack("CCnnCx", 1, $type, 1, strlen($content), 0) . $content;
$connection = fsockopen("127.0.0.1", 9000, $code, $message, 10) or exit(1);
stream_set_timeout($connection, 30);
fwrite($connection, $record(1, pack("nCx5", 1, 0)) . $record(4, $parameters) . $record(4, "") . $record(5, ""));
$answer = stream_get_contents($connection);
$body = "";
while (strlen($answer) >= 8) {
    ["type" => $type, "length" => $length, "padding" => $padding] = unpack("Cversion/Ctype/nid/nlength/Cpadding", $answer);
    $content = substr($answer, 8, $length);
    $answer = substr($answer, 8 + $length + $padding);
    if ($type === 6) $body .= $content;
}
$end = strpos($body, "\r\n\r\n");
if ($end === false) {
    fwrite(STDERR, "no response: $body\n");
    exit(1);
}
echo substr($body, $end + 4);
