"""`pixyproxy generate`: create an image without a server."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pixyproxy.entrypoints.cli.schema import ensure_schema
from pixyproxy.entrypoints.cli.session import run_with_container

if TYPE_CHECKING:
    from pixyproxy.domain.image import Image
    from pixyproxy.entrypoints.container import Container


@click.command()
@click.argument("prompt")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag of the image; may be repeated.")
@click.option("--author", metavar="NAME", help="The user who owns the image; none by default.")
@click.option("--private", is_flag=True, help="Make it visible only to the author.")
@click.option("--model", metavar="NAME", help="The model to draw with; the default is that of the settings.")
@click.option("--size", metavar="WxH", help="Width and height in pixels, such as 1536x1024, or auto.")
@click.option("--quality", metavar="WORD", help="The quality, such as low, medium or high.")
@click.option("--background", metavar="WORD", help="The background: auto, opaque or transparent.")
@click.option("--output-format", metavar="FORMAT", help="The format: png, jpeg, webp, gif or svg.")
@click.option("--output-compression", type=int, metavar="LEVEL", help="0 to 100, for JPEG and WebP.")
@click.option("--moderation", metavar="WORD", help="How strictly the prompt is moderated, such as low.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write a copy of the picture to FILE.",
)
def generate(
    prompt: str,
    tags: tuple[str, ...],
    author: str | None,
    private: bool,
    out: Path | None,
    **options: Any,
) -> None:
    """Generate an image from PROMPT, keep it, and print its details as JSON.

    An option that is left out is the generator's choice, as far as the settings leave it open.
    """
    import msgspec
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from pixyproxy.application.user_names import find_user
    from pixyproxy.domain.generation_request import GenerationRequest
    from pixyproxy.domain.image import Visibility
    from pixyproxy.domain.user import Principal
    from pixyproxy.entrypoints.http.images.schemas import PrivateImageDetail

    if out and not os.access(out.absolute().parent, os.W_OK):
        raise click.ClickException(f"can't write to {out}.")

    async def work(container: "Container") -> "tuple[Image, bytes]":
        await ensure_schema(container)
        name = (await find_user(container.users(), author)).name if author else None
        created = await container.create_image()(
            GenerationRequest(prompt=prompt, **options),
            tags=tags,
            visibility=Visibility.PRIVATE if private else Visibility.PUBLIC,
            principal=Principal(name=name),
        )
        content = await container.contents().open(created.image.content_key)
        return created.image, b"".join([chunk async for chunk in content.chunks])

    terminal = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        progress.add_task("generating")
        image, content = run_with_container(work)
    click.echo(msgspec.json.format(msgspec.json.encode(PrivateImageDetail.from_image(image))))
    if out:
        try:
            out.write_bytes(content)
        except OSError as exc:
            raise click.ClickException(
                f"the image is stored, but could not be written to {out}: {exc.strerror}."
            ) from exc
