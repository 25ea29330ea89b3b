"""SVGs drawn in a child process, which bounds their time and memory.

The process reads the SVG from its standard input and writes the variant to its standard output.
"""

import os
import resource
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Final

import msgspec

from pixyproxy.domain.errors import DamagedContentError, OverloadedError
from pixyproxy.domain.variant import Variant

SECONDS: Final = 10.0
MEMORY: Final = 2 << 30

_RETRY_AFTER: Final = 10.0

# The child's whole environment: no secrets, only where the fonts are.
_ENVIRONMENT: Final = ("HOME", "XDG_CACHE_HOME", "FONTCONFIG_FILE", "FONTCONFIG_PATH", "LD_LIBRARY_PATH")


class Drawer:
    """Draws SVGs; threads may call `draw` concurrently.

    Gives up a drawing after `seconds` seconds, above `memory` bytes, or when its process crashes.
    """

    def __init__(self, *, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self._seconds = seconds
        self._memory = memory
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_closed = False

    def draw(self, data: bytes, variant: Variant) -> bytes:
        """Return the SVG as `variant`; raise `DamagedContentError` if it can't be drawn within the limits."""
        process = self._start(variant)
        with process:
            try:
                drawn, _ = process.communicate(data, timeout=self._seconds)
            except subprocess.TimeoutExpired as exc:
                raise DamagedContentError("The SVG picture takes too long to be drawn.") from exc
            finally:
                process.kill()
                with self._lock:
                    self._running.discard(process)
        # If the host ignores SIGCHLD, the exit status is lost.
        if process.returncode != 0 or not drawn:
            if self._is_closed:
                raise _closed()
            raise DamagedContentError("The SVG picture can't be drawn.")
        return drawn

    def close(self) -> None:
        """Kill the running processes, and start no more."""
        with self._lock:
            self._is_closed = True
            for process in self._running:
                process.kill()

    def _start(self, variant: Variant) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        bounds = str(int(self._seconds) + 1), str(self._memory)
        with self._lock:
            if self._is_closed:
                raise _closed()
            process = subprocess.Popen(  # noqa: S603 -- nothing of it comes from outside but the variant, as one argument
                # With -P nothing is imported from the working directory.
                [sys.executable, "-P", "-m", __name__, *bounds, msgspec.json.encode(variant).decode()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
            self._running.add(process)
        return process


def _closed() -> OverloadedError:
    return OverloadedError("PixyProxy is being stopped; the picture was not drawn.", retry_after=_RETRY_AFTER)


def main(seconds: str, memory: str, variant: str) -> None:
    """Run as the child: draw the standard input within `seconds` of CPU and `memory` bytes."""
    for limit, bound in (
        (resource.RLIMIT_CPU, int(seconds)),
        (resource.RLIMIT_AS, int(memory)),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        # The operator may have set a lower limit.
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (bound, bound))
    from pixyproxy.adapters.pictures.vips.picture import draw_svg  # noqa: PLC0415 -- within the bounds

    try:
        drawn = draw_svg(sys.stdin.buffer.read(), msgspec.json.decode(variant, type=Variant))
    except DamagedContentError:
        sys.exit(1)
    sys.stdout.buffer.write(drawn)


if __name__ == "__main__":
    main(*sys.argv[1:])
