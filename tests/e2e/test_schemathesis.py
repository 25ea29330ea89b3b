"""Schemathesis reads the OpenAPI document and holds the running service to it, with every check it has."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doubles.service import running_service


@pytest.mark.timeout(600)
def test_the_service_keeps_every_promise_of_its_openapi_document(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        done = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{service.url}/schema/openapi.json"),
                *("--checks", "all"),
                *("--auth", ":".join(service.login)),
                *("--max-examples", "20"),
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
    assert re.search(r"Selected: 10/10\s+Tested: 10", done.stdout)
