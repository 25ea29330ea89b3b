"""Files of others in the package."""

import hashlib
from pathlib import Path

import pixyproxy

SWAGGER_UI = Path(pixyproxy.__file__).parent / "entrypoints" / "http" / "openapi" / "swagger_ui"
OURS = {"README.md", "SHA256SUMS", "start.js"}


def test_they_are_those_that_make_vendor_fetches() -> None:
    lines = (SWAGGER_UI / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in map(str.split, lines)}

    assert sums.keys() == {path.name for path in SWAGGER_UI.iterdir()} - OURS
    assert {name: hashlib.sha256((SWAGGER_UI / name).read_bytes()).hexdigest() for name in sums} == sums


def test_their_version_is_the_one_that_the_makefile_names() -> None:
    makefile = Path(__file__).parents[2].joinpath("Makefile").read_text()
    (version,) = [line.split()[-1] for line in makefile.splitlines() if line.startswith("SWAGGER_UI_VERSION")]

    assert f"swagger-ui-dist {version} " in (SWAGGER_UI / "README.md").read_text()
