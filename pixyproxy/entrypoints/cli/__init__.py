"""The command line.

Commands import heavy modules when they run, so that `pixyproxy --help` answers at once.
"""

import os
import signal
import sys
from types import FrameType

import click

import pixyproxy
from pixyproxy.entrypoints.cli.content import content
from pixyproxy.entrypoints.cli.db import db
from pixyproxy.entrypoints.cli.doctor import doctor
from pixyproxy.entrypoints.cli.export import export
from pixyproxy.entrypoints.cli.generate import generate
from pixyproxy.entrypoints.cli.health import health
from pixyproxy.entrypoints.cli.import_ import import_
from pixyproxy.entrypoints.cli.keys import keys
from pixyproxy.entrypoints.cli.links import links
from pixyproxy.entrypoints.cli.serve import serve
from pixyproxy.entrypoints.cli.sessions import sessions
from pixyproxy.entrypoints.cli.users import users


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(pixyproxy.__version__, prog_name="pixyproxy")
def main() -> None:
    """Generate images through the OpenAI images API and keep them.

    Settings are environment variables; docs/settings.md and .env.example list them.
    """
    if os.getpid() == 1:
        # The kernel sends the first process of a container no signal that it has no handler for. `serve` replaces this
        # one when it has started.
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


main.add_command(serve)
main.add_command(health)
main.add_command(db)
main.add_command(users)
main.add_command(sessions)
main.add_command(keys)
main.add_command(links)
main.add_command(generate)
main.add_command(doctor)
main.add_command(content)
main.add_command(export)
main.add_command(import_)
