"""A monotonic clock that tests control."""


class Seconds:
    """Stands still at `passed` seconds until a test changes that."""

    def __init__(self, passed: float = 0.0) -> None:
        self.passed = passed

    def __call__(self) -> float:
        return self.passed
