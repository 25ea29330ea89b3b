"""Values that JSON has: null, booleans, numbers, texts, arrays and objects."""

from pixyproxy.domain.errors import DataValidationError


def is_deeper(value: object, depth: int) -> bool:
    """Whether arrays and objects are nested more than `depth` times."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return parts is not None and (depth == 0 or any(is_deeper(part, depth - 1) for part in parts))


def ensure_shallow(field: str, value: object, depth: int) -> None:
    """Raise `DataValidationError` for arrays and objects that are nested more than `depth` times."""
    if is_deeper(value, depth):
        raise DataValidationError(field, f"must not be nested more than {depth} times")
