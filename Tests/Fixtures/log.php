<?php
// Two messages for the log, one of them a warning of PHP's own.
error_log('first message');
echo $undefined;
echo "logged\n";
