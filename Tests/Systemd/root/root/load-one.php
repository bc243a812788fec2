<?php
require __DIR__ . '/fastcgi.php';
$answered = 0;
while (!file_exists('/run/stop-load')) {
    $problem = '';
    $answer = ask('/run/php/php8.2-fpm.sock', '/srv/hello.php', $problem);
    if ($answer === 'hello') {
        $answered++;
    } else {
        echo $problem ?: "wrong answer: " . json_encode($answer), "\n";
        usleep(10000);
    }
}
echo "answered $answered\n";
