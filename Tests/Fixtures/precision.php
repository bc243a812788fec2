<?php
// A setting that the compiler may know already.
echo ini_get('precision');
