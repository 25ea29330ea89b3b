"""Schemathesis reads the OpenAPI document and holds the running service to it, with every check it has."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doubles.service import running_service

# A 422 says nothing against a valid body: the generator refuses the prompt, or the key was used for another one.
# What is malformed is a 400.
CONFIGURATION = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 422, 429, "5xx"]
"""


@pytest.mark.timeout(600)
def test_the_service_keeps_every_promise_of_its_openapi_document(tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION, encoding="utf-8")
    with running_service(tmp_path) as service:
        done = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{service.url}/schema/openapi.json"),
                *("--checks", "all"),
                *("--auth", ":".join(service.login)),
                *("--max-examples", "10"),
                "--generation-deterministic",
                # How long this machine takes to make up data says nothing about the service.
                *("--suppress-health-check", "too_slow"),
                "--no-color",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Selected: 12/12\s+Tested: 12", done.stdout)
