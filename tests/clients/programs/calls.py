"""How a program that uses a client's package is driven: calls come in as lines of JSON, and answers go out as such.

A line ``{"id": 1, "call": "generate", "arguments": {…}}`` is answered with ``{"id": 1, "result": {…}}`` or with
``{"id": 1, "error": {…}}``. Calls that come in before others are answered run at the same time.
"""

import base64
import hashlib
import json
import os
import sys
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Final

MAGIC: Final = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


def serve(
    functions: Mapping[str, Callable[..., object]], describe: Callable[[Exception], Mapping[str, object]]
) -> None:
    """Answer calls of these functions until standard input ends; `describe` tells what clients see of an error."""
    # What packages print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    lock = Lock()

    def answer(line: str) -> None:
        call = json.loads(line)
        try:
            outcome: object = {"result": functions[call["call"]](**call["arguments"])}
        except Exception as exc:  # noqa: BLE001 -- whatever the package raises is the answer
            outcome = {"error": {"class": type(exc).__name__, "message": str(exc), **describe(exc)}}
        with lock:
            answers.write(json.dumps({"id": call["id"], **outcome}, default=str) + "\n")  # type: ignore[dict-item]

    with ThreadPoolExecutor(16) as pool:
        for line in sys.stdin:
            pool.submit(answer, line)


def picture(item: Any) -> dict[str, object]:
    """Return what an entry of `data`, or an event, brings: the digest and the type of its bytes, and how they came."""
    fields = item if isinstance(item, dict) else item.model_dump()
    b64_json, url = fields.get("b64_json"), fields.get("url")
    assert (b64_json is None) != (url is None), f"there should be one of b64_json and url: {sorted(fields)}"
    told = {"guid": fields.get("guid"), "through": "b64_json" if b64_json else "url"}
    if b64_json:
        return content(base64.b64decode(b64_json, validate=True)) | told
    return downloaded(str(url)) | told


def downloaded(url: str, **headers: str) -> dict[str, object]:
    """Return what a URL brings to a program that has no key."""
    assert url.startswith("http"), f"not absolute: {url}"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 -- checked in the line above
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return content(answer.read()) | {"url": url, "content_type": answer.headers["Content-Type"]}


def content(data: bytes) -> dict[str, object]:
    """Return the digest and the type of a picture's bytes."""
    media_type = next((media_type for magic, media_type in MAGIC.items() if data.startswith(magic)), None)
    assert media_type, f"no picture: {data[:16]!r}"
    return {"sha256": hashlib.sha256(data).hexdigest(), "media_type": media_type}
