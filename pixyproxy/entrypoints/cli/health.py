"""`pixyproxy health`: the health of the running service."""

import http.client
import json
import os

import click

from pixyproxy.entrypoints.cli.session import settings_from

_TIMEOUT = 4.0
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- what the service listens on, not this command


@click.command()
@click.option("--live", "is_live", is_flag=True, help="Ask only whether the process answers.")
def health(*, is_live: bool) -> None:
    """Ask the running service whether it is ready. The exit status is 1 if it is not.

    It asks at PIXYPROXY_HOST and PIXYPROXY_PORT, for health checks in containers without curl.
    """
    settings = settings_from(os.environ)
    host = _WILDCARDS.get(settings.host, settings.host)
    connection = http.client.HTTPConnection(host, settings.port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/health/live" if is_live else "/health/ready")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as exc:
        reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise click.ClickException(f"no answer from {host} port {settings.port}: {reason}") from exc
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise click.ClickException(f"{answer.status}: {_detail(body)}")
    click.echo("ok")


def _detail(body: bytes) -> str:
    """Return the detail of a problem document, or another body as it is."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, TypeError, KeyError):
        return body.decode(errors="replace").strip()
