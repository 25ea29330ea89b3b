"""The examples in docs/openai-compatible.md, run as they are written, except for the address and the key."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests import real_parts
from tests.clients import environments
from tests.clients.endpoint import Endpoint
from tests.clients.environments import NODE, NODE_PACKAGES, PythonEnvironment
from tests.documents import ROOT, examples, fenced_blocks, section
from tests.doubles.service import clean_environment

PAGE: Final = "docs/openai-compatible.md"
GUID: Final = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

PYTHON: Mapping[str, tuple[PythonEnvironment, str]] = {
    "openai-python": (environments.OPENAI, rf"{GUID} \d+"),
    "openai-python-retries": (environments.OPENAI, "True"),
    "litellm-library": (environments.LITELLM, r"\d+ \d+"),
    "langchain-wrapper": (environments.LANGCHAIN, r"http://127\.0\.0\.1:\d+/.+\.png\?.+"),
}
JAVASCRIPT: Mapping[str, str] = {"openai-node": rf"{GUID} \d+", "ai-sdk": r"image/png \d+"}


def javascript() -> dict[str, str]:
    """Return the programs for Node on the page, by their names."""
    blocks = fenced_blocks((ROOT / PAGE).read_text(encoding="utf-8"), "js")
    return {block.partition("\n")[0].removeprefix("// "): block for block in blocks}


def filled_in(text: str, endpoint: Endpoint) -> str:
    """Return an example with the reader's values."""
    for shown, own in {"http://127.0.0.1:8000/v1": endpoint.base_url, "pixy_your-key": endpoint.key}.items():
        assert shown in text
        text = text.replace(shown, own)
    return text


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command, and return its output."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(
            {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": ""}
        ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_example_of_the_page_is_run() -> None:
    assert (examples(PAGE).keys(), javascript().keys()) == (PYTHON.keys(), JAVASCRIPT.keys())


@pytest.mark.parametrize("name", PYTHON)
def test_an_example_in_python_runs(sketching: Endpoint, tmp_path: Path, name: str) -> None:
    environment, printed = PYTHON[name]
    environments.require(environment)
    program = filled_in(examples(PAGE)[name], sketching)
    assert re.fullmatch(printed, run([environment.python, "-c", program], tmp_path).strip())


@pytest.mark.parametrize("name", JAVASCRIPT)
def test_an_example_in_javascript_runs(sketching: Endpoint, tmp_path: Path, name: str) -> None:
    environments.require(NODE, NODE_PACKAGES)
    NODE_PACKAGES.link_into(tmp_path)
    (tmp_path / "example.mjs").write_text(filled_in(javascript()[name], sketching), encoding="utf-8")
    assert re.fullmatch(JAVASCRIPT[name], run([NODE_PACKAGES.program, "example.mjs"], tmp_path).strip())


def test_the_examples_in_curl_run(sketching: Endpoint, tmp_path: Path) -> None:
    if not shutil.which("curl"):
        real_parts.lack("curl", "apt-get install -y --no-install-recommends curl")
    script = filled_in("".join(fenced_blocks(section(PAGE, "curl"), "sh")), sketching)
    models = json.loads(run(["bash", "-euo", "pipefail", "-c", script], tmp_path))
    assert "gpt-image-2" in [model["id"] for model in models["data"]]
    assert (tmp_path / "fox.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "asleep.json").read_text())["data"][0]["b64_json"]
    names = re.findall(r"^event: (.+)$", (tmp_path / "events.txt").read_text(), re.MULTILINE)
    assert names[-1] == "image_generation.completed"
    assert set(names[:-1]) == {"image_generation.partial_image"}
