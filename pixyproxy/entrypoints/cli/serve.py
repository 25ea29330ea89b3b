"""`pixyproxy serve`: the HTTP service."""

import asyncio
import gc
import logging
import math
import multiprocessing
import os
import secrets
import signal
import socket
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from pixyproxy.entrypoints.cli.schema import ensure_schema
from pixyproxy.entrypoints.cli.session import run_with_container, settings_from

if TYPE_CHECKING:
    from pixyproxy.entrypoints.container import Container
    from pixyproxy.entrypoints.server.proxy_headers import ProxyHeaders
    from pixyproxy.entrypoints.settings import Settings

FIRST_USER = "pixy"
APPLICATION = "pixyproxy.entrypoints.cli.serve:application"

# Every waiting client has its answer at that point; only slow downloads still run.
GRACE_SECONDS = 5
# Until then, another process has taken what waits in the queue.
HAND_OVER_SECONDS = 10.0


@click.command()
@click.option("--host", metavar="ADDRESS", help="The address to listen on. Default: PIXYPROXY_HOST, or 127.0.0.1.")
@click.option("--port", metavar="PORT", help="The port to listen on. Default: PIXYPROXY_PORT, or 8000.")
@click.option("--workers", metavar="N", help="The number of processes. Default: PIXYPROXY_WORKERS, or 1.")
@click.option("--log-format", metavar="FORMAT", help="console or json. Default: PIXYPROXY_LOG_FORMAT, or console.")
def serve(**flags: str | None) -> None:
    """Serve the HTTP API.

    On SIGTERM or SIGINT it accepts no new connections, and finishes running requests and generations for at most
    PIXYPROXY_SHUTDOWN_TIMEOUT seconds. On SIGTERM it serves on for PIXYPROXY_DRAIN_DELAY seconds before that.
    """
    import uvicorn

    from pixyproxy.entrypoints.exposure import warnings_of
    from pixyproxy.entrypoints.log import configure_logging
    from pixyproxy.entrypoints.server.sendfile_protocol import SendfileProtocol
    from pixyproxy.entrypoints.server.shared_socket import run_workers

    # Worker processes read the environment, so pass flags through it.
    os.environ.update({f"PIXYPROXY_{name.upper()}": value for name, value in flags.items() if value is not None})
    settings = settings_from(os.environ)
    _ensure_free(settings.host, settings.port)
    password = run_with_container(_prepare, settings)
    _print_banner(settings, password)
    configure_logging(settings.log_format)
    for warning in warnings_of(settings, os.environ):
        logging.getLogger("pixyproxy.start").warning(warning)
    options: dict[str, Any] = {
        "factory": True,
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
        "loop": "uvloop",
        "http": SendfileProtocol,
        "ws": "none",
        "timeout_keep_alive": settings.keep_alive_timeout,
        "lifespan": "on",
        "access_log": False,
        # `ProxyHeaders` does it.
        "proxy_headers": False,
        "server_header": False,
        "log_config": None,
        "timeout_graceful_shutdown": math.ceil(settings.shutdown_timeout) + GRACE_SECONDS,
    }
    if settings.workers == 1:
        uvicorn.run(APPLICATION, **options)
    else:
        run_workers(APPLICATION, **options)


def _ensure_free(host: str, port: int) -> None:
    """Exit with one line if the port is taken, before a password is generated and printed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as exc:
        raise click.ClickException(f"can't listen on {host} port {port}: {exc.strerror or exc}") from exc


def application() -> "ProxyHeaders":
    """Return the application for the settings of the environment; each worker process calls this once."""
    from pixyproxy.entrypoints.container import Container
    from pixyproxy.entrypoints.exposure import TRUSTED_PROXIES
    from pixyproxy.entrypoints.http.app import create_app
    from pixyproxy.entrypoints.log import configure_logging
    from pixyproxy.entrypoints.server.proxy_headers import ProxyHeaders
    from pixyproxy.entrypoints.server.sendfile_protocol import SendfileProtocol
    from pixyproxy.entrypoints.settings import load_settings

    settings = load_settings(os.environ)
    SendfileProtocol.send_timeout = settings.send_timeout
    SendfileProtocol.head_timeout = settings.head_timeout
    SendfileProtocol.min_rate = settings.min_rate
    if (public_url := settings.public_address) is not None:
        SendfileProtocol.prefix = public_url.prefix
    configure_logging(settings.log_format)
    settings = with_allowed_hosts(settings)
    container = Container(settings=settings)
    app = create_app(settings, container)
    app.on_startup.append(partial(stop_on_signals, container, settings.shutdown_timeout, settings.drain_delay))
    app.on_startup.append(stop_with_supervisor)
    app.on_startup.append(freeze_startup_objects)
    # The default is uvicorn's.
    return ProxyHeaders(app, os.environ.get(TRUSTED_PROXIES) or "127.0.0.1")


def with_allowed_hosts(settings: "Settings") -> "Settings":
    """Return the settings with default allowed hosts if none are set.

    The defaults are localhost, the host to listen on, and the host of the public URL.
    """
    import msgspec

    if settings.allowed_hosts is not None:
        return settings
    names = ["localhost", "*.localhost", settings.host]
    if settings.public_address is not None:
        names.append(settings.public_address.host.rpartition(":")[0] or settings.public_address.host)
    return msgspec.structs.replace(settings, allowed_hosts=",".join(names))


async def stop_on_signals(container: "Container", seconds: float, drain_delay: float) -> None:
    """On SIGTERM or SIGINT, start no more generations, and end every wait for one of this process after `seconds`.

    Waits for images in the queue end sooner: other processes have taken these by then, if there are any. Streams of
    authors' images, which have no end, end at once. On SIGTERM,
    all of this begins after `drain_delay`; until then the process serves on, is not ready, and leaves the queue to
    others.

    Wraps uvicorn's signal handlers: uvicorn alone would cut off waiting clients without an answer before it tells the
    application.
    """
    from pixyproxy.entrypoints.server.bounded_protocol import BoundedProtocol

    loop = asyncio.get_running_loop()
    dispatcher, generations = container.dispatcher(), container.generations()
    is_draining = False

    def drain() -> None:
        BoundedProtocol.is_stopping = True
        dispatcher.pause()
        loop.call_later(drain_delay, signal.raise_signal, signal.SIGTERM)

    def end() -> None:
        BoundedProtocol.is_stopping = True
        # After draining, others generate what still comes.
        if not is_draining:
            dispatcher.stop()
        generations.stop_watching()
        loop.call_later(min(seconds, HAND_OVER_SECONDS), generations.stop_following)
        loop.call_later(seconds, generations.stop_waiting)

    def on_signal(stop: Any, number: int, frame: FrameType | None) -> None:
        nonlocal is_draining
        if number == signal.SIGTERM and drain_delay and not is_draining:
            is_draining = True
            loop.call_soon_threadsafe(drain)
            return
        loop.call_soon_threadsafe(end)
        if callable(stop):
            stop(number, frame)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, partial(on_signal, signal.getsignal(number)))


async def stop_with_supervisor() -> None:
    """Do what SIGTERM does when the process that has started this worker is gone; do nothing if there is none.

    A worker that outlives a killed supervisor would keep the port, and no one would restart or stop it.
    """
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(supervisor.sentinel)
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(supervisor.sentinel, stop)


def freeze_startup_objects() -> None:
    """Exclude all objects that exist by now from garbage collections.

    They live as long as the process, and a full collection of them stops all requests for 50 ms or more.
    """
    gc.collect()
    gc.freeze()


async def _prepare(container: "Container") -> str | None:
    """Upgrade the schema, test the generator, and return the first user's password if this start created the user."""
    await ensure_schema(container)
    await container.generator().open()
    password = secrets.token_urlsafe(12)
    return password if await container.create_first_user()(FIRST_USER, password) else None


def _print_banner(settings: "Settings", password: str | None) -> None:
    from pixyproxy.entrypoints.settings import GeneratorKind

    url = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
    is_sketch = settings.generator_kind is GeneratorKind.SKETCH
    gallery = f"gallery at {url}/gallery, " if settings.has_gallery else ""
    click.echo(f"PixyProxy on {url}, {gallery}API docs at {url}/schema")
    click.echo(f"  database   {_database(settings)}")
    click.echo(f"  content    {_content(settings)}")
    click.echo(f"  generator  {'sketch (offline)' if is_sketch else f'OpenAI, {settings.openai_model}'}")
    if is_sketch:
        click.echo("\nImages are sketches, drawn offline, until OPENAI_API_KEY is set.")
    if password:
        first = "Log in to the gallery with it. Or create" if settings.has_gallery else "Create"
        click.echo(
            f"""
PixyProxy created this login. The password is shown only once:

  user name  {FIRST_USER}
  password   {password}

{first} an image, list the images, and download the newest one:

  curl -u {FIRST_USER}:{password} {url}/image -H 'Content-Type: application/json' \\
    -d '{{"prompt": "A lighthouse at dusk, in watercolour", "tags": ["first"]}}'

  curl '{url}/image?limit=1'

  curl -o picture.png "{url}/image/$(curl -s '{url}/image?limit=1' | cut -d '"' -f 4)/content"
"""
        )


def _content(settings: "Settings") -> str:
    from pixyproxy.entrypoints.settings import ContentKind

    if settings.content_kind is ContentKind.FILE:
        return f"files in {settings.content_path}"
    bucket = settings.content_bucket
    return f"S3, {bucket.place} on {bucket.endpoint or 'AWS'}"


def _database(settings: "Settings") -> str:
    from pixyproxy.adapters.mysql.url import hosts_of, parse_url
    from pixyproxy.entrypoints.settings import DatabaseKind

    if settings.database_kind is DatabaseKind.SQLITE:
        return f"SQLite in {settings.database_path}"
    hosts = hosts_of(settings.database_url)
    place = ", ".join(str(host) if hosts[1:] else host.name for host in hosts) or "a local socket"
    return f"MySQL, {parse_url(settings.database_url)['db']} on {place}"
