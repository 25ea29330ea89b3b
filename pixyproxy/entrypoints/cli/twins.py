"""Users whose names are equal after normalisation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pixyproxy.domain.user import User


def warn_of_twins(users: Sequence["User"]) -> None:
    """Warn on standard error of users whose names are equal after normalisation."""
    from pixyproxy.domain.user import twins_among

    for twins in twins_among([user.name for user in users]):
        # They look the same, so show their code points.
        names = ", ".join(ascii(name) for name in twins)
        click.echo(
            f"Warning: the names of {len(twins)} users are equal after normalisation (NFC): {names}."
            " Each logs in with the stored name; disable those that are not needed.",
            err=True,
        )
