"""The contract of `GuidSource`."""

from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

import pytest

from pixyproxy.adapters.system.guid_source import RandomGuidSource
from pixyproxy.domain.ports import GuidSource


@pytest.fixture(params=[RandomGuidSource])
def guids(request: pytest.FixtureRequest) -> GuidSource:
    guids: GuidSource = request.param()
    return guids


def test_no_guid_comes_twice(guids: GuidSource) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: guids.new(), range(10_000)))
    assert len(set(made)) == 10_000


def test_two_sources_do_not_make_the_same_guids() -> None:
    first, second = RandomGuidSource(), RandomGuidSource()
    assert {first.new() for _ in range(100)}.isdisjoint(second.new() for _ in range(100))


def test_a_guid_is_random_and_tells_neither_the_time_nor_the_machine(guids: GuidSource) -> None:
    made = [guids.new() for _ in range(100)]
    assert {guid.version for guid in made} == {4}
    assert {guid.variant for guid in made} == {RFC_4122}


def test_every_bit_that_may_be_random_is() -> None:
    guids = RandomGuidSource()
    ever_set, always_set = 0, UUID(int=2**128 - 1).int
    for _ in range(200):
        guid = guids.new().int
        ever_set |= guid
        always_set &= guid
    assert (ever_set & ~always_set).bit_count() == 122
