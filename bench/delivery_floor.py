"""The least that sending a picture costs: the server, the log and the database without the rest of PixyProxy.

    PYTHONPATH=. .venv/bin/python bench/delivery_floor.py

Set up and measured as in `delivery.py`, whose settings by environment hold here too; it prints a table for
docs/benchmarks.md.
"""

import asyncio
import statistics
from contextlib import ExitStack
from pathlib import Path

from delivery import Contender, compare, race, storage
from delivery_servers import (
    BARE,
    FLOORS,
    MIDDLE,
    NGINX,
    PIXYPROXY,
    SMALL,
    all_servers,
    on_floor,
    store_pictures,
)


def run(url: str, folder: Path) -> None:
    """Measure, and print the table."""
    pictures = asyncio.run(store_pictures(url, folder))
    rows = []
    with all_servers(pictures) as others, ExitStack() as stack:
        floors = {name: stack.enter_context(on_floor(pictures, parts)) for name, parts in FLOORS.items()}
        servers = {PIXYPROXY: others[PIXYPROXY], **floors}
        for size in (SMALL, MIDDLE):
            (image, *_) = pictures.by_size[size]
            path = pictures.file(image).relative_to(pictures.folder)
            besides = {NGINX: Contender(NGINX, f"{others[NGINX].url}/{path}")}
            if size == SMALL:
                besides[BARE] = Contender(BARE, f"{others[BARE].url}/bytes")
            asked = [Contender(name, f"{server.url}/image/{image.guid}/content") for name, server in servers.items()]
            print(size, flush=True)
            speeds = race([*asked, *besides.values()])
            for name in servers:
                ratios = [f"{compare(size, speeds, name, beside).ratio:.2f}" for beside in besides]
                rows.append(f"| {size} | {name} | {statistics.median(speeds[name]):,.0f}/s | {' | '.join(ratios)} |")
    print("\n".join(rows))


def main() -> None:
    """Run a database, and measure."""
    with storage() as (url, folder):
        run(url, folder)


if __name__ == "__main__":
    main()
