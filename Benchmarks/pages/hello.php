<?php
// The least a page can do: what is measured is the way to PHP and back.
echo "Hello, world!";
