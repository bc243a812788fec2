<?php
// What happens after the script: shutdown functions and destructors still answer.
class Last {
    public function __destruct() {
        echo "destructor\n";
    }
}
$last = new Last();
register_shutdown_function(function () {
    echo "shutdown\n";
});
echo "script\n";
