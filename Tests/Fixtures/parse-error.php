<?php
this is not php
