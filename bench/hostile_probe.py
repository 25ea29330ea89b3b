"""The others while `hostile.py` attacks: ask for `/health/live` again and again, and print how long each answer took.

    python bench/hostile_probe.py PORT

It prints `ready`, and at the end of its standard input the seconds, as JSON.
"""

import json
import select
import sys
import time
from typing import Final

from downloads import Connection

INTERVAL: Final = 0.01


def main() -> None:
    """Probe until told to stop."""
    port = int(sys.argv[1])
    connection = Connection(port)
    connection.get("/health/live")
    print("ready", flush=True)
    waits = []
    while not select.select([sys.stdin], [], [], INTERVAL)[0]:
        start = time.perf_counter()
        try:
            connection.get("/health/live")
        except OSError:
            connection.close()
            connection = Connection(port)
            connection.get("/health/live")
        waits.append(time.perf_counter() - start)
    print(json.dumps(waits))


if __name__ == "__main__":
    main()
