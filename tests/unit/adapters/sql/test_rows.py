"""Rows that take long to make."""

import threading
from collections.abc import Sequence

import pytest

from pixyproxy.adapters.sql import rows
from pixyproxy.adapters.sql.rows import words_to_row, words_to_rows
from pixyproxy.domain.search import terms_of


@pytest.mark.parametrize(("length", "is_aside"), [(10, False), (1_000, False), (1_001, True), (32_000, True)])
async def test_the_words_of_long_prompts_are_found_beside_the_event_loop(
    length: int, is_aside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def watched(text: str) -> Sequence[str]:
        threads.append(threading.get_ident())
        return terms_of(text)

    monkeypatch.setattr(rows, "terms_of", watched)
    assert await words_to_rows([(7, "é" * length, "more")]) == [words_to_row(7, "é" * length)]
    assert (threads[0] != threading.get_ident()) == is_aside


async def test_the_words_of_many_short_prompts_are_found_beside_the_event_loop() -> None:
    prompts = [(number, f"fox {number} " * 20, None) for number in range(100)]
    assert await words_to_rows(prompts) == [words_to_row(number, prompt) for number, prompt, _ in prompts]
    assert await words_to_rows([]) == []
