"""Hides packages that only tests need from a Python started with this folder in PYTHONPATH.

dependency_injector imports the web frameworks it finds, which takes half a second of CPU in each process.
"""

import sys

for name in ("fastapi", "starlette", "werkzeug"):
    sys.modules[name] = None  # type: ignore[assignment]
