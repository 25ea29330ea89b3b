"""What long work tells of, when nobody wants to know."""


def no_progress(_: object) -> None:
    """Do nothing with what is told."""
