<?php
// Which worker answers.
echo getmypid();
