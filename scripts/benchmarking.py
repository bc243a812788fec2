"""What the benchmarks share: FastCGI requests, and waiting."""

import os
import signal
import struct
import sys
import time

# Whoever is told to end ends what it has started.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def wait_for(what, condition, seconds=30, pause=0.002):
    """Returns as soon as the condition holds; ends the program when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"{os.path.basename(sys.argv[0])}: waited {seconds} s for {what}")
        time.sleep(pause)


def record(kind, body):
    return struct.pack(">BBHHBB", 1, kind, 1, len(body), 0, 0) + body


def pair(name, value):
    name, value = name.encode(), value.encode()
    return struct.pack(">BI", len(name), len(value) | 1 << 31) + name + value


def request(script, query=""):
    """The bytes of a GET request whose connection ends with it."""
    name = "/" + os.path.basename(script)
    values = {
        "SCRIPT_FILENAME": script, "SCRIPT_NAME": name, "REQUEST_METHOD": "GET", "QUERY_STRING": query,
        "REQUEST_URI": f"{name}?{query}" if query else name, "SERVER_PROTOCOL": "HTTP/1.1",
    }
    parameters = b"".join(pair(*item) for item in values.items())
    return record(1, b"\0\1\0\0\0\0\0\0") + record(4, parameters) + record(4, b"") + record(5, b"")
