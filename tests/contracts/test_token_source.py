"""The contract of `TokenSource`."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pixyproxy.adapters.system.token_source import RandomTokenSource
from pixyproxy.domain.ports import TokenSource


@pytest.fixture(params=[RandomTokenSource])
def tokens(request: pytest.FixtureRequest) -> TokenSource:
    tokens: TokenSource = request.param()
    return tokens


@pytest.mark.parametrize("size", [0, 1, 26, 32, 1_000])
def test_a_token_has_as_many_bytes_as_it_is_asked_for(tokens: TokenSource, size: int) -> None:
    token = tokens.new(size)
    assert (type(token), len(token)) == (bytes, size)


def test_no_token_comes_twice(tokens: TokenSource) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: tokens.new(32), range(10_000)))
    assert len(set(made)) == 10_000


def test_two_sources_do_not_make_the_same_tokens() -> None:
    first, second = RandomTokenSource(), RandomTokenSource()
    assert {first.new(32) for _ in range(100)}.isdisjoint(second.new(32) for _ in range(100))


def test_every_bit_is_random(tokens: TokenSource) -> None:
    ever_set, always_set = 0, 2**256 - 1
    for _ in range(200):
        token = int.from_bytes(tokens.new(32))
        ever_set |= token
        always_set &= token
    assert (ever_set & ~always_set).bit_count() == 256
