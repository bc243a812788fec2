<?php
// Lines for the pipes that the daemon keeps.
fwrite(fopen('php://stderr', 'w'), $_GET['stderr'] ?? "to stderr\n");
if (isset($_GET['stdout'])) {
    fwrite(fopen('php://stdout', 'w'), $_GET['stdout']);
}
echo "written\n";
