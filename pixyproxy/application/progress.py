"""The default of progress callbacks."""


def no_progress(_: object) -> None:
    """Ignore the progress."""
