"""A program that uses the package `openai` for Python, of version 1 and later."""

import asyncio
import io
from pathlib import Path
from typing import Any

import openai
from openai import AsyncOpenAI, OpenAI

from tests.clients.programs.calls import picture, serve


def generate(connection: dict[str, Any], *, is_asynchronous: bool = False, **arguments: Any) -> object:
    """Ask for images."""
    if is_asynchronous:
        return asyncio.run(_generate(connection, arguments))
    with OpenAI(**connection) as client:
        return _answer(client.images.generate(**arguments))


def edit(connection: dict[str, Any], *, is_asynchronous: bool = False, **arguments: Any) -> object:
    """Ask for an edit of the files at paths."""
    arguments |= _files(arguments)
    if is_asynchronous:
        return asyncio.run(_edit(connection, arguments))
    with OpenAI(**connection) as client:
        return _answer(client.images.edit(**arguments))


def stream(connection: dict[str, Any], *, is_asynchronous: bool = False, **arguments: Any) -> object:
    """Ask for images, partial ones included."""
    if is_asynchronous:
        return asyncio.run(_stream(connection, arguments))
    with OpenAI(**connection) as client:
        return [_event(event) for event in client.images.generate(stream=True, **arguments)]


def stream_edit(connection: dict[str, Any], **arguments: Any) -> object:
    """Ask for an edit, partial images included."""
    with OpenAI(**connection) as client:
        return [_event(event) for event in client.images.edit(stream=True, **arguments | _files(arguments))]


def models(connection: dict[str, Any]) -> object:
    """List the ids of the models."""
    with OpenAI(**connection) as client:
        return [model.id for model in client.models.list()]


def model(connection: dict[str, Any], *, name: str) -> object:
    """Return the id of a model."""
    with OpenAI(**connection) as client:
        return client.models.retrieve(name).id


async def _generate(connection: dict[str, Any], arguments: dict[str, Any]) -> object:
    async with AsyncOpenAI(**connection) as client:
        return _answer(await client.images.generate(**arguments))


async def _edit(connection: dict[str, Any], arguments: dict[str, Any]) -> object:
    async with AsyncOpenAI(**connection) as client:
        return _answer(await client.images.edit(**arguments))


async def _stream(connection: dict[str, Any], arguments: dict[str, Any]) -> object:
    async with AsyncOpenAI(**connection) as client:
        return [_event(event) async for event in await client.images.generate(stream=True, **arguments)]


def _files(arguments: dict[str, Any]) -> dict[str, object]:
    """Open the files at paths: one as bytes, several in each of the ways that the package takes."""
    ways = (
        lambda path: (path.name, path.read_bytes(), "image/png"),
        lambda path: io.BytesIO(path.read_bytes()),
        lambda path: path,
    )
    image, mask = arguments["image"], arguments.get("mask")
    files: dict[str, object]
    if isinstance(image, str):
        files = {"image": Path(image).read_bytes()}
    else:
        files = {"image": [ways[number % len(ways)](Path(path)) for number, path in enumerate(image)]}
    return files | ({"mask": Path(mask)} if mask else {})


def _answer(answer: Any) -> object:
    # Only newer versions of the package declare all of these.
    names = ("created", "size", "quality", "background", "output_format", "model", "errors")
    return {
        "pictures": [picture(item) for item in answer.data],
        "usage": answer.usage and answer.usage.model_dump(),
        "request_id": answer._request_id,
        **{name: getattr(answer, name, None) for name in names},
    }


def _event(event: Any) -> object:
    fields = event.model_dump()
    names = ("type", "partial_image_index", "created_at", "size", "quality", "background", "output_format", "usage")
    return picture(fields) | {name: fields.get(name) for name in names}


def _describe(error: Exception) -> dict[str, object]:
    names = ("code", "param", "type", "request_id")
    body = error.body if isinstance(error, openai.APIError) and isinstance(error.body, dict) else {}
    return {
        "status": getattr(error, "status_code", None),
        "message": body.get("message", str(error)),
        "maybe_billed": body.get("maybe_billed"),
        **{name: getattr(error, name, None) for name in names},
    }


if __name__ == "__main__":
    functions = (generate, edit, stream, stream_edit, models, model)
    serve({function.__name__: function for function in functions}, _describe)
