"""What tests do when a real part (a database server, a browser) is not on the machine."""

import os
from typing import NoReturn

import pytest

MISSING: dict[str, str] = {}
"""How to get each part that a test of this session missed; `conftest.py` says so at the end."""


def lack(part: str, remedy: str) -> NoReturn:
    """Skip the test for lack of `part` and have `remedy` said loudly; with CI=true nothing may skip, so fail it."""
    MISSING[part] = remedy
    if os.environ.get("CI") == "true":
        pytest.fail(f"no {part}: {remedy}", pytrace=False)
    pytest.skip(f"no {part}: {remedy}")
