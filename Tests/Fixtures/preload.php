<?php
// The environment of a program that a script starts.
echo "[", trim((string) shell_exec("printenv LD_PRELOAD")), "]";
