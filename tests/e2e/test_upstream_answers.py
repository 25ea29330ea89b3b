"""The running service with an upstream that answers in strange ways: what clients get, and what is kept."""

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.doubles.openai_server import ANSWERS, KEY, Order
from tests.doubles.service import Service, clean_environment, running_service
from tests.doubles.strange_answers import CODINGS, ENCODINGS, USAGES

ENVIRONMENT = {"OPENAI_API_KEY": KEY, "PIXYPROXY_OPENAI_SIZE": "64x64", "PIXYPROXY_LOG_FORMAT": "json"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, openai_url: str) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with running_service(folder, {**ENVIRONMENT, "OPENAI_BASE_URL": openai_url}) as service:
        yield service


def create(service: Service, behaviour: str) -> httpx.Response:
    prompt = f"a red fox in the snow [[{behaviour}]]"
    return httpx.post(f"{service.url}/image", json={"prompt": prompt}, auth=service.login, timeout=60)


def lines(service: Service, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in service.output.splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def record(service: Service, guid: str) -> dict[str, Any]:
    image: dict[str, Any] = httpx.get(f"{service.url}/private/image/{guid}", auth=service.login).json()
    return image


@pytest.mark.parametrize(
    "behaviour",
    [
        # The adapter's own tests cover all of them.
        *(f"encoding {name}" for name in [*ENCODINGS][::5]),
        *(f"coding {name}" for name in [*CODINGS][::5]),
        *(f"usage {name}" for name in [*USAGES][::4]),
        "label jpg",
        "label image/jpeg",
        "heap arrays 4",
        "part 0",
        "refers /pictures/good",
    ],
)
def test_a_picture_that_was_paid_for_is_shown(service: Service, behaviour: str) -> None:
    response = create(service, behaviour)
    assert response.status_code == 200, response.text
    image = response.json()
    content = httpx.get(f"{service.url}/image/{image['guid']}/content")

    assert (image["media_type"], image["width"], image["height"]) == ("image/png", 64, 64)
    assert content.headers["Content-Type"] == "image/png"
    assert hashlib.sha256(content.content).hexdigest() == image["sha256"]


def test_another_format_than_the_requested_one_is_shown_as_such(service: Service) -> None:
    image = create(service, "case answer-webp-for-png.json").json()
    content = httpx.get(f"{service.url}/image/{image['guid']}/content")

    assert image["media_type"] == content.headers["Content-Type"] == "image/webp"
    assert image["filename"].endswith(".webp")


@pytest.mark.parametrize("path", sorted(ANSWERS.glob("answer-*.json")), ids=lambda path: path.stem)
def test_each_answer_that_was_seen_elsewhere_is_a_picture_or_an_error_of_its_own(service: Service, path: Path) -> None:
    response = create(service, f"case {path.name}")

    if "with-error" in path.stem:
        assert response.status_code == 422
        assert not response.json()["maybe_billed"]
    else:
        assert response.status_code == 200


def test_an_option_that_the_upstream_rejects_is_the_clients_to_mend_and_not_billed(service: Service) -> None:
    def answered(key: str, **options: str) -> httpx.Response:
        body = {"prompt": "a red fox [[invalid-size]]", **options}
        headers = {"Idempotency-Key": key}
        return httpx.post(f"{service.url}/image", json=body, headers=headers, auth=service.login, timeout=60)

    first, again = answered("clients", size="80x48"), answered("clients", size="80x48")
    (problem, replayed) = (response.json() for response in (first, again))

    assert first.status_code == again.status_code == 400
    assert problem["type"] == "urn:pixyproxy:problem:generation-option"
    assert [error["field"] for error in problem["errors"]] == ["size"]
    assert (problem["retryable"], problem["maybe_billed"]) == (False, False)
    assert replayed == {**problem, "request_id": replayed["request_id"]}
    assert again.headers["Idempotency-Replayed"] == "true"
    stored = record(service, problem["guid"])
    assert (stored["status"], stored["problem"]["status"], stored["problem"]["detail"]) == (
        "failed",
        400,
        problem["detail"],
    )
    # The size of the settings is the operator's to mend.
    assert answered("operators").json()["type"] == "urn:pixyproxy:problem:generator-setup"


@pytest.mark.parametrize(
    ("behaviour", "status", "kind", "is_billed"),
    [
        ("html", 502, "generation-failed", True),
        ("url-only", 502, "generation-failed", True),
        ("refers http://169.254.169.254/latest/meta-data", 502, "generation-failed", True),
        ("bad-base64", 502, "generation-failed", True),
        ("no-picture", 502, "generation-failed", True),
        ("cut", 502, "generation-broken-off", True),
    ],
)
def test_a_paid_answer_without_a_picture_is_kept(
    service: Service, behaviour: str, status: int, kind: str, is_billed: bool
) -> None:
    problem = create(service, behaviour).json()
    listed = subprocess.run(
        [sys.executable, "-m", "pixyproxy", "doctor"],
        cwd=service.folder,
        env=clean_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (problem["status"], problem["type"]) == (status, f"urn:pixyproxy:problem:{kind}")
    assert problem["maybe_billed"] is is_billed
    assert record(service, problem["guid"])["status"] in {"failed", "unknown"}
    assert problem["guid"] in listed.stdout


@pytest.mark.parametrize(
    ("behaviour", "status", "is_retryable"),
    [
        ("case error-400-content_filter.json", 422, False),
        ("case error-403-org-verification.json", 500, False),
        ("says 400 {}", 500, False),
        ('says 400 {"error": {"param": "prompt", "message": "too long"}}', 422, False),
        ("says 402 {}", 500, False),
        ("says 403 <html>Blocked</html>", 500, False),
        ("says 404 {}", 500, False),
        ("says 413 {}", 500, False),
        ("says 422 {}", 500, False),
        ("no-quota", 500, False),
        ("error 500", 502, True),
    ],
)
def test_the_upstreams_errors_mean_what_they_say(
    service: Service, behaviour: str, status: int, is_retryable: bool
) -> None:
    problem = create(service, behaviour).json()
    line = lines(service, "the generator answered with an error")[-1]

    assert (problem["status"], problem["retryable"]) == (status, is_retryable)
    assert line["level"] == ("error" if status == 500 else "warning")
    assert line["meaning"]


def test_the_log_has_the_upstreams_words_and_not_the_prompt_or_the_key(service: Service) -> None:
    prompt = "a red fox in the snow"
    said = json.dumps({"error": {"message": f"{prompt} is too large for {KEY}, sorry", "code": "too_large"}})
    create(service, f"says 413 {said}")
    line = lines(service, "the generator answered with an error")[-1]

    assert line["upstream_code"] == "too_large"
    assert line["upstream_message"].endswith("sorry")
    assert prompt not in service.output
    assert KEY not in service.output


def test_a_wait_that_is_too_long_is_an_hour(service: Service) -> None:
    assert create(service, "rate-limit 99999999").headers["Retry-After"] == "3600"


def test_an_upstream_that_can_not_be_reached_is_named_with_the_cause(tmp_path: Path) -> None:
    environment = {**ENVIRONMENT, "OPENAI_BASE_URL": "http://name.invalid/v1"}
    with running_service(tmp_path, environment) as service:
        problem = create(service, "ok").json()
        line = lines(service, "the connection to the generator failed")[-1]

    assert (problem["status"], problem["maybe_billed"]) == (503, False)
    assert line["host"] == "name.invalid:80"
    assert "gaierror" in line["cause"]


def test_a_picture_of_another_origin_is_fetched_when_the_setting_names_it(tmp_path: Path, openai_url: str) -> None:
    command = [sys.executable, "-m", "tests.doubles.openai_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as elsewhere:
        assert elsewhere.stdout is not None
        origin = elsewhere.stdout.readline().strip().removeprefix("OPENAI_BASE_URL=").removesuffix("/v1")
        environment = {**ENVIRONMENT, "OPENAI_BASE_URL": openai_url}
        with running_service(tmp_path, {**environment, "PIXYPROXY_OPENAI_ANSWER_ORIGINS": origin}) as service:
            image = create(service, f"refers {origin}/pictures/good").json()
            content = httpx.get(f"{service.url}/image/{image['guid']}/content").content
        elsewhere.send_signal(signal.SIGTERM)

    assert content == Order({"prompt": "a picture", "size": "64x64"}).picture()
