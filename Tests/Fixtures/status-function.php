<?php
header('Content-Type: application/json');
echo json_encode(fpm_get_status());
