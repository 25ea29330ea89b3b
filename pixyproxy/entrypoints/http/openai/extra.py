"""Fields that are none of OpenAI's."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import EXTRA_MAX_DEPTH, EXTRA_MAX_SIZE, OPTION_MAX_LENGTH, ensure_extra
from pixyproxy.domain.json_values import is_deeper

_EXTRA_BODY: Final = "extra_body"
# Clients repeat headers and keys in the body.
_SECRET: Final = re.compile(r"header|auth|key|token|secret|password", re.IGNORECASE)
_MAX_COUNT: Final = 128
_NAMES_SHOWN: Final = 20
# Without its secrets, a larger value may still be small enough.
_LOOKED_THROUGH: Final = 4 * EXTRA_MAX_SIZE

_log = logging.getLogger("pixyproxy.openai")


def kept_extra(fields: Mapping[str, Any], ignored: Sequence[str], request_id: str | None) -> Mapping[str, Any] | None:
    """Return those of the unknown fields of a request that are kept in its `extra`, None if there are none.

    Leaves out nulls, names of secrets at any depth, and what breaks a rule of `extra`. Logs the names, no values, with
    those that were `ignored` before.
    """
    kept: dict[str, Any] = {}
    dropped = list(ignored)
    for position, (name, value) in enumerate(fields.items()):
        if value is None:
            continue
        if position >= _MAX_COUNT or _is_secret(name) or _is_large(value) or is_deeper(value, EXTRA_MAX_DEPTH - 1):
            dropped.append(name)
            continue
        hidden: list[str] = []
        rest = _without_secrets(value, name, hidden)
        try:
            ensure_extra({**kept, name: rest})
        except DataValidationError:
            dropped.append(name)
        else:
            kept[name] = rest
            dropped.extend(hidden)
    if kept or dropped:
        facts = {"request_id": request_id, "kept": _shown(kept), "dropped": _shown(dropped)}
        _log.info("unknown fields", extra=facts)
    return kept or None


def _is_large(value: Any) -> bool:
    """Whether a value is too large to look for secrets in it, which takes seconds for a MiB."""
    try:
        return len(msgspec.json.encode(value)) > _LOOKED_THROUGH
    except (ValueError, RecursionError):
        # It is refused by the rules of `extra`.
        return False


def _is_secret(name: str) -> bool:
    return name == _EXTRA_BODY or _SECRET.search(name) is not None


def _without_secrets(value: Any, path: str, hidden: list[str]) -> Any:
    if isinstance(value, dict):
        rest = {}
        for name, part in value.items():
            if _is_secret(name):
                hidden.append(f"{path}.{name}")
            else:
                rest[name] = _without_secrets(part, f"{path}.{name}", hidden)
        return rest
    if isinstance(value, list):
        return [_without_secrets(part, path, hidden) for part in value]
    return value


def _shown(names: Mapping[str, Any] | Sequence[str]) -> str:
    """Return the first of the names as they can be logged."""
    return ", ".join(_printable(names))


def _printable(names: Mapping[str, Any] | Sequence[str]) -> Iterator[str]:
    for position, name in enumerate(names):
        if position == _NAMES_SHOWN:
            yield f"and {len(names) - position:,} more"
            return
        text = name.encode("utf-8", "replace").decode()[:OPTION_MAX_LENGTH]
        yield "".join(character if character.isprintable() and character != "," else "?" for character in text)
