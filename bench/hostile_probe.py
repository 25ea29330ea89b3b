"""The others while `hostile.py` attacks: ask for `/health/live` again and again.

    python bench/hostile_probe.py PORT [SECONDS]

It waits for SECONDS (0.01) between two requests. It prints `ready`, and at the end of its standard input how long each
answer took, as JSON.
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
    interval = float(sys.argv[2]) if len(sys.argv) > 2 else INTERVAL  # noqa: PLR2004
    connection = Connection(port)
    connection.get("/health/live")
    print("ready", flush=True)
    waits = []
    while not select.select([sys.stdin], [], [], interval)[0]:
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
