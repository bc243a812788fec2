<?php
// The wall clock.
echo time();
