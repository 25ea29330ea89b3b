"""What is kept of fields that are none of OpenAI's."""

import logging
from typing import Any

import pytest

from pixyproxy.domain import json_values
from pixyproxy.entrypoints.http.openai import extra
from pixyproxy.entrypoints.http.openai.extra import kept_extra

MANY: Any = [[] for _ in range(200_000)]


def test_a_large_value_is_dropped_without_a_look_at_its_parts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looked_at = 0
    is_deeper = json_values.is_deeper

    def counted(value: object, depth: int) -> bool:
        nonlocal looked_at
        looked_at += 1
        return is_deeper(value, depth)

    monkeypatch.setattr(extra, "is_deeper", counted)
    with caplog.at_level(logging.INFO, "pixyproxy.openai"):
        assert kept_extra({"many": MANY, "seed": 7}, (), "id") == {"seed": 7}
    assert looked_at == 1
    assert [vars(record)["dropped"] for record in caplog.records] == ["many"]


def test_a_value_that_is_small_without_its_secrets_is_kept() -> None:
    told = {"provider": {"api_key": "x" * 40_000, "region": "eu"}}
    assert kept_extra(told, (), "id") == {"provider": {"region": "eu"}}
