"""`pixyproxy generate`: create images without a server."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from pixyproxy.entrypoints.cli.generation_files import ensure_folder, file_or_guid, paths_for
from pixyproxy.entrypoints.cli.schema import ensure_schema
from pixyproxy.entrypoints.cli.session import run_with_container

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pixyproxy.domain.image import Image
    from pixyproxy.entrypoints.container import Container


@click.command()
@click.argument("prompt")
@click.option("-n", "count", type=int, default=1, metavar="COUNT", help="How many images, 1 to 10.")
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
    "--reference",
    "references",
    multiple=True,
    callback=lambda context, option, values: [file_or_guid(context, option, value) for value in values],
    metavar="FILE|GUID",
    help="A picture to draw from: a PNG, JPEG or WebP file, or the guid of an image; may be repeated.",
)
@click.option(
    "--mask",
    callback=lambda context, option, value: file_or_guid(context, option, value) if value else None,
    metavar="FILE|GUID",
    help="A PNG of the first reference's size; only where it is transparent may the reference change.",
)
@click.option("--input-fidelity", metavar="WORD", help="How closely to keep to the references, such as high.")
@click.option("--partial-images", type=int, metavar="COUNT", help="How many pictures to show on the way, 0 to 3.")
@click.option(
    "--save-partials",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the partial images, 3 unless --partial-images says otherwise, into DIR as GUID-NUMBER.EXTENSION.",
)
@click.option(
    "--out",
    metavar="FILE",
    help="Write a copy of the picture to FILE. {n} in its name is the number of the image, from 1.",
)
def generate(
    *,
    prompt: str,
    count: int,
    tags: tuple[str, ...],
    author: str | None,
    private: bool,
    references: list[Path | UUID],
    mask: Path | UUID | None,
    partial_images: int | None,
    save_partials: Path | None,
    out: str | None,
    **options: Any,
) -> None:
    """Generate an image from PROMPT, keep it, and print its details as JSON; an array for several images.

    An option that is left out is the generator's choice, as far as the settings leave it open. The exit status is 1 if
    an image failed; the others are kept, printed and written.
    """
    import msgspec
    from rich.console import Console

    from pixyproxy.application.user_names import find_user
    from pixyproxy.domain.generation_request import PARTIAL_IMAGES_MAX_COUNT, GenerationRequest
    from pixyproxy.domain.image import Visibility
    from pixyproxy.domain.user import Principal
    from pixyproxy.entrypoints.cli.generation import GenerationProgress, ImageCreation
    from pixyproxy.entrypoints.http.images.schemas import PrivateImageDetail

    paths = paths_for(out, count) if out else []
    if save_partials:
        ensure_folder(save_partials)
    if partial_images is None:
        partial_images = PARTIAL_IMAGES_MAX_COUNT if save_partials else 0
    request = GenerationRequest(prompt=prompt, partial_images=partial_images, **options)

    async def work(container: "Container") -> "Sequence[tuple[Image, bytes | None]]":
        await ensure_schema(container)
        name = (await find_user(container.users(), author)).name if author else None
        with GenerationProgress(Console(stderr=True)) as progress:
            create = ImageCreation(container=container, progress=progress, partials_folder=save_partials)
            images = await create(
                request,
                count,
                references=references,
                mask=mask,
                tags=tags,
                visibility=Visibility.PRIVATE if private else Visibility.PUBLIC,
                principal=Principal(name=name),
            )
        return [(image, await _content_of(image, container) if paths else None) for image in images]

    made = run_with_container(work)
    details = [PrivateImageDetail.from_image(image) for image, _ in made]
    problems = [problem for image, _ in made if (problem := _problem_of(image))]
    if count == 1 and problems:
        raise click.ClickException(problems[0])
    click.echo(msgspec.json.format(msgspec.json.encode(details[0] if count == 1 else details)))
    problems += [problem for path, (_, content) in zip(paths, made, strict=False) if (problem := _write(path, content))]
    for problem in problems:
        click.ClickException(problem).show()
    if problems:
        click.get_current_context().exit(1)


async def _content_of(image: "Image", container: "Container") -> bytes | None:
    """Return the bytes of the picture, if there is one."""
    if image.content is None:
        return None
    content = await container.contents().open(image.content_key)
    return b"".join([chunk async for chunk in content.chunks])


def _problem_of(image: "Image") -> str | None:
    """Return why there is no picture, as a sentence; None if there is one."""
    if image.content is not None:
        return None
    error = image.generation_error
    detail = error.detail if error else "The image is still being made."
    return detail if image.batch is None else f"image {image.batch.position + 1} of {image.batch.size}: {detail}"


def _write(path: Path, content: bytes | None) -> str | None:
    """Write the picture, if there is one, and return why that was not possible; None if it was."""
    try:
        if content is not None:
            path.write_bytes(content)
    except OSError as exc:
        return f"the image is stored, but could not be written to {path}: {exc.strerror}."
    return None
