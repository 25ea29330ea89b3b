"""Machines that die, hang, lose each other or have wrong clocks cost no image, and no image is paid for twice.

`make cluster` plays each event for a minute and measures it; here each takes some seconds, and seconds are not judged.
"""

import json
import os
from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from tests.cluster.events import EVENTS, Happening
from tests.cluster.verdict import play
from tests.cluster.world import World, running_world

SECONDS: Final = float(os.environ.get("PIXYPROXY_CLUSTER_SECONDS", "15"))

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as world:
        yield world


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_no_image_is_lost_and_none_is_billed_twice(world: World, event: Happening) -> None:
    verdict = play(world, event, SECONDS, with_doctor=False)

    assert not verdict.faults, "\n".join([*verdict.faults, *warnings_of(world)])
    assert verdict.promised
    if event.costs_nothing:
        assert not verdict.unknown
        assert not verdict.ledger.errors, "\n".join([str(verdict.ledger.errors), *warnings_of(world)])


def test_database_and_content_are_consistent_after_all(world: World) -> None:
    checked = world.doctor()
    assert checked.returncode == 0, checked.stdout + checked.stderr


def warnings_of(world: World) -> Sequence[str]:
    """Return what the replicas have logged that is out of the ordinary."""
    lines = [line for replica in world.replicas for line in replica.output.splitlines() if line.startswith("{")]
    return [line for line in lines if json.loads(line)["level"] not in {"debug", "info"}]
