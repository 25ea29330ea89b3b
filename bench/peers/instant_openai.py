"""An OpenAI that has the picture before it is asked: `[[big N]]` in a prompt brings a PNG of about N bytes.

The stand-in of the tests draws, checks and counts; beside it, the service would wait for the processor that they share.
"""

import base64
import functools
import io
import json
import math
import os
import re
from typing import Any

from PIL import Image


@functools.cache
def _answer(byte_size: int | None) -> bytes:
    target = io.BytesIO()
    if byte_size is None:
        Image.linear_gradient("L").resize((1024, 1024)).convert("RGB").save(target, "png")
    else:
        edge = math.isqrt(byte_size // 3)
        Image.frombytes("RGB", (edge, edge), os.urandom(edge * edge * 3)).save(target, "png", compress_level=0)
    picture = base64.b64encode(target.getvalue()).decode()
    return json.dumps({"created": 1, "output_format": "png", "data": [{"b64_json": picture}]}).encode()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request with a picture."""
    if scope["type"] != "http":
        for _ in range(2):
            await send({"type": f"{(await receive())['type']}.complete"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    found = re.search(rb"\[\[big (\d+)\]\]", body)
    answer = _answer(int(found[1]) if found else None)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
