"""Users whose names look the same."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pixyproxy.domain.user import User


def warn_of_twins(users: Sequence["User"]) -> None:
    """Name the users whose names are the same once they are normalised, on standard error."""
    from pixyproxy.domain.user import twins_among

    for twins in twins_among([user.name for user in users]):
        # As they look the same, they are told apart by their code points.
        names = ", ".join(ascii(name) for name in twins)
        click.echo(
            f"Warning: {len(twins)} users have the same name once it is normalised (NFC): {names}."
            " Each logs in with the name as it is stored; disable those that are not needed.",
            err=True,
        )
