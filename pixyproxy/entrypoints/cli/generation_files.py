"""The files that `pixyproxy generate` reads and writes."""

import os
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import click

NUMBER = "{n}"


def file_or_guid(context: click.Context, parameter: click.Parameter, value: str) -> Path | UUID:
    """Return the guid of an image, or the name of a file that can be read; raise `click.UsageError` for another."""
    try:
        return UUID(value)
    except ValueError:
        click.Path(exists=True, dir_okay=False, readable=True).convert(value, parameter, context)
        return Path(value)


def paths_for(template: str, count: int) -> Sequence[Path]:
    """Return the names of the files for `count` pictures, each of which can be written.

    Raises `click.UsageError` for several pictures without `{n}` in the template, and `click.ClickException` for a file
    that can't be written.
    """
    if count > 1 and NUMBER not in template:
        raise click.UsageError(
            f"--out needs {NUMBER}, the number of the image, for more than one, as in fox-{NUMBER}.png."
        )
    paths = [Path(template.replace(NUMBER, str(number))) for number in range(1, count + 1)]
    for path in paths:
        if path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
            raise click.ClickException(f"can't write to {path}.")
    return paths


def ensure_folder(folder: Path) -> None:
    """Make the folder if it is not there; raise `click.ClickException` if it can't be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise click.ClickException(f"can't make the folder {folder}: {exc.strerror}.") from exc
    if not os.access(folder, os.W_OK | os.X_OK):
        raise click.ClickException(f"can't write to {folder}.")
