<?php
// Sends the status and headers that the query lists.
if (isset($_GET['code'])) {
    http_response_code((int) $_GET['code']);
}
foreach ((array) ($_GET['header'] ?? []) as $line) {
    header($line, false);
}
echo $_GET['body'] ?? "body\n";
