"""Fixtures of the tests that break things."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.world import World, running_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A database server, a stand-in OpenAI and a disk of the test's own, with users and without a service."""
    async with running_world(tmp_path) as world:
        yield world
