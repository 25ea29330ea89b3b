"""What long work tells of, when nobody wants to know."""


def untold(_: object) -> None:
    """Do nothing with what is told."""
