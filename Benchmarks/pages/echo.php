<?php
// A form's answer: the body is read and sent back.
echo file_get_contents('php://input');
