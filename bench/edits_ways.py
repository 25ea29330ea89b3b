"""One way to send edits to OpenAI's API, in a process of its own: `edits.py` starts it and reads its figures.

    python bench/edits_ways.py WAY EDITS BASE_URL FOLDER

`FOLDER` is a content store with the references. The output is a JSON object: how many `seconds` the edits took all
together, how many the event loop was held up at most (`stall`), by how many bytes the memory (RSS) grew at most
(`growth`), and how many seconds of processor time it took (`processor`).
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import openai

from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.domain.content import ContentInfo, ContentKey, MediaType
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.ports import InputPicture, InputPictures
from pixyproxy.domain.reference import Reference, Upload

KEY: Final = "sk-bench"
PROMPT: Final = "make it a winter night"
TIMEOUT: Final = 600.0

Edit = Callable[[Sequence[Path]], Awaitable[object]]


def pixyproxy(base_url: str, folder: Path) -> Edit:
    """Read the files from the store while they are sent."""
    generator = OpenAIImageGenerator(api_key=KEY, base_url=base_url, size="256x256", timeout=TIMEOUT)
    store = FilesystemContentStore(folder)

    async def edit(files: Sequence[Path]) -> object:
        pictures = [
            InputPicture(
                filename="picture.png",
                content=ContentInfo(
                    media_type=MediaType.PNG, byte_size=file.stat().st_size, sha256="0" * 64, width=1, height=1
                ),
                open=partial(store.open, ContentKey(file.name)),
            )
            for file in files
        ]
        references = tuple(
            Reference.to_upload(Upload(filename=picture.filename, content=picture.content)) for picture in pictures
        )
        request = GenerationRequest(prompt=PROMPT, references=references)
        return await generator.generate(request, pictures=InputPictures(references=pictures))

    return edit


def official_paths(base_url: str, _folder: Path) -> Edit:
    """Give the official client paths, as its README does."""
    client = openai.AsyncOpenAI(api_key=KEY, base_url=base_url, timeout=TIMEOUT, max_retries=0)

    async def edit(files: Sequence[Path]) -> object:
        images: list[Any] = [(file.name, file, "image/png") for file in files]
        return await client.images.edit(model="gpt-image-2", prompt=PROMPT, size="256x256", image=images)

    return edit


def official_files(base_url: str, _folder: Path) -> Edit:
    """Give the official client open files."""
    client = openai.AsyncOpenAI(api_key=KEY, base_url=base_url, timeout=TIMEOUT, max_retries=0)

    async def edit(files: Sequence[Path]) -> object:
        with ExitStack() as stack:
            images: list[Any] = [(file.name, stack.enter_context(file.open("rb")), "image/png") for file in files]
            return await client.images.edit(model="gpt-image-2", prompt=PROMPT, size="256x256", image=images)

    return edit


WAYS: Final[Mapping[str, Callable[[str, Path], Edit]]] = {
    way.__name__: way for way in (pixyproxy, official_files, official_paths)
}


async def longest_stall(is_over: asyncio.Event) -> float:
    """Return the most seconds by which the loop was late until the event."""
    longest = 0.0
    while not is_over.is_set():
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        longest = max(longest, time.perf_counter() - began - 0.001)
    return longest


def memory(name: str) -> int:
    """Return a value of this process's status in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    """From now on the kernel's peak of the memory is that of what follows."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


async def measure(edit: Edit, count: int, files: Sequence[Path]) -> Mapping[str, float]:
    """Return the figures of this number of edits at once, after one that imports what is needed."""
    await edit(files[:1])
    is_over = asyncio.Event()
    stall = asyncio.create_task(longest_stall(is_over))
    forget_peak()
    before, began, worked = memory("VmRSS"), time.perf_counter(), time.process_time()
    await asyncio.gather(*(edit(files) for _ in range(count)))
    figures = {
        "seconds": time.perf_counter() - began,
        "growth": memory("VmHWM") - before,
        "processor": time.process_time() - worked,
    }
    is_over.set()
    return {**figures, "stall": await stall}


def main() -> None:
    """Send the edits and print the figures."""
    way, count, base_url, folder = sys.argv[1:]
    edit = WAYS[way](base_url, Path(folder))
    print(json.dumps(asyncio.run(measure(edit, int(count), sorted(Path(folder).rglob("reference-*"))))))


if __name__ == "__main__":
    main()
