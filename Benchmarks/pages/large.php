<?php
// An answer of 1 MiB.
echo str_repeat("0123456789abcdef", 1 << 16);
