"""Schemathesis reads the OpenAPI document and holds the running service to it, with every check it has."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doubles.service import running_service

# Which options a model takes, which go together, and what is a picture, no schema says.
# Valid requests may get a 422, if the generator refuses or the key was used for another body, and a 412, if the image
# has another version. A malformed request gets a 400.
# A valid cursor can't be made up, and a tag that is no text can't be sent. An If-Match is made up without regard to its
# pattern. A malformed condition of a GET is passed over, and so is a malformed range. Of content, which sizes there are
# is up to the operator. No schema says that the expiry of an API key must be in the future, and which parameters of its
# list exclude each other.
CONFIGURATION = """
[parameters]
"header.If-Match" = "*"

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 412, 422, 429, "5xx"]

[[operations]]
include-name = ["POST /image", "POST /private/image", "POST /image/batch", "POST /private/image/batch"]

[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 404, 409, 422, 429, "5xx"]

[[operations]]
include-name = [
    "GET /image", "GET /private/image", "GET /tag", "GET /private/tag", "GET /model",
    "GET /v1/models", "GET /v1/models/{model}",
    "GET /image/{guid}", "GET /private/image/{guid}", "GET /image/batch/{batch}", "GET /private/image/batch/{batch}",
]

[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 400, 401, 403, 404, 409, 429, "5xx"]

[operations.checks.negative_data_rejection]
expected-statuses = [200, 304, "4xx"]

[[operations]]
include-name = ["GET /private/key", "POST /private/key"]

[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 400, 401, 403, 404, 429, "5xx"]

[[operations]]
include-path-regex = "^/v1/images/"

[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 403, 404, 422, 424, 429, "5xx"]

[operations.checks.negative_data_rejection]
expected-statuses = [200, "4xx", "5xx"]

[[operations]]
include-path-regex = "/(content|content/{filename}|link)$"

[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 400, 401, 403, 404, 412, 416, "5xx"]

[operations.checks.negative_data_rejection]
expected-statuses = ["2xx", "3xx", "4xx"]
"""


@pytest.mark.timeout(600)
def test_the_service_keeps_every_promise_of_its_openapi_document(tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION, encoding="utf-8")
    # Each operation is tried with a wrong login.
    with running_service(tmp_path, {"PIXYPROXY_WRONG_LOGINS": "1000"}) as service:
        done = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{service.url}/schema/openapi.json"),
                *("--checks", "all"),
                # An image may have been made private, or deleted among many, since it was created.
                *("--exclude-checks", "ensure_resource_availability"),
                # It would be read to its end, which it does not have.
                *("--exclude-path", "/private/image/events"),
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
    numbers = re.search(r"Selected: (\d+)/(\d+)\s+Tested: (\d+)\n", done.stdout)
    assert numbers
    selected, described, tested = map(int, numbers.groups())
    assert (selected, tested) == (described - 1, described - 1)
