"""The files of a deployment: Dockerfile, compose.yaml, the manifests of Kubernetes, the unit of systemd.

They are checked by the linter or the schema of their own kind, and against the settings and files that they name.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from pixyproxy.entrypoints.cli.serve import GRACE_SECONDS
from pixyproxy.entrypoints.settings import Settings, environment_name, load_settings
from tests import real_parts
from tests.documents import ROOT

DOCKERFILE = ROOT / "Dockerfile"
COMPOSE = ROOT / "compose.yaml"
KUBERNETES = ROOT / "deploy" / "kubernetes"
UNIT = ROOT / "deploy" / "systemd" / "pixyproxy.service"
MANIFESTS = sorted(path for path in KUBERNETES.glob("*.yaml") if path.name != "kustomization.yaml")
FILES = [DOCKERFILE, COMPOSE, UNIT, *sorted(KUBERNETES.iterdir())]

# The first version whose schema has all that the manifests use, and the newest one that the validator knows.
VERSIONS = ["1.30", "1.37"]
# What `compose.yaml` asks for.
SECRETS = {"MARIADB_PASSWORD": "letters", "S3_KEY_ID": "and", "S3_SECRET": "digits"}


def run(command: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [command, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def tool(name: str) -> str:
    """Return the path of a tool that the development environment has."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else real_parts.lack(name, "it is in requirements/dev.txt")


def manifest(name: str) -> Any:
    return yaml.safe_load((KUBERNETES / name).read_text(encoding="utf-8"))


def environment_of(file: Path) -> dict[str, str]:
    """Return the variables of a file of lines `NAME=value`."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def compose() -> Any:
    # As Compose does it, but for `:?`, which stands for a variable that must be set.
    text = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: SECRETS[found[1]], COMPOSE.read_text(encoding="utf-8"))
    return yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))


def test_the_dockerfile_has_no_bad_habits() -> None:
    done = run(tool("hadolint"), DOCKERFILE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_context_of_the_image_has_what_is_copied_and_nothing_secret() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    sources = set(chain.from_iterable(line.split() for line in copied))
    first, *patterns = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()

    assert first == "*"
    assert {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")} == sources
    assert all((ROOT / source).exists() for source in sources)


def test_the_image_runs_as_a_user_whom_kubernetes_knows_not_to_be_root() -> None:
    (user,) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert user == ("65532", "65532")
    for name in ("deployment.yaml", "upgrade.yaml"):
        security = manifest(name)["spec"]["template"]["spec"]["securityContext"]
        assert (str(security["runAsUser"]), str(security["runAsGroup"])) == user


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field_of_the_manifests(version: str) -> None:
    done = run(tool("kubernetes-validate"), "--strict", "-k", version, *MANIFESTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_manifest_is_applied_but_the_secret() -> None:
    applied = manifest("kustomization.yaml")["resources"]
    assert sorted([*applied, "secret.example.yaml"]) == [path.name for path in MANIFESTS]


def test_the_manifests_select_the_pods_that_they_make() -> None:
    server, upgrade = (
        manifest(name)["spec"]["template"]["metadata"]["labels"] for name in ("deployment.yaml", "upgrade.yaml")
    )
    selected = [
        manifest("deployment.yaml")["spec"]["selector"]["matchLabels"],
        manifest("service.yaml")["spec"]["selector"],
        manifest("disruption-budget.yaml")["spec"]["selector"]["matchLabels"],
    ]
    assert all(labels == server for labels in selected)
    assert manifest("network-policy.yaml")["spec"]["podSelector"]["matchLabels"].items() <= server.items()
    # The service must not lead to a pod that only upgrades.
    assert server != upgrade


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(file: Path) -> None:
    known = {environment_name(field) for field in Settings.__struct_fields__}
    named = set(re.findall(r"\b(?:PIXYPROXY|OPENAI)_[A-Z_0-9]+\b", file.read_text(encoding="utf-8")))
    assert named <= known


def test_the_settings_of_all_deployments_are_valid(compose: Any) -> None:
    image = dict(re.findall(r"^ *(?:ENV )?(PIXYPROXY_\w+)=(\S+)", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE))
    secret = manifest("secret.example.yaml")["stringData"]
    deployments: list[Mapping[str, object]] = [
        compose["services"]["pixyproxy-1"]["environment"],
        {**environment_of(KUBERNETES / "pixyproxy.env"), **secret},
    ]
    assert len(image) == 4
    for deployment in ({}, *deployments):
        load_settings({**image, **{name: str(value) for name, value in deployment.items()}})


def test_every_deployment_waits_for_the_end_of_generations(compose: Any) -> None:
    shutdown = Settings().shutdown_timeout + GRACE_SECONDS
    own = environment_of(KUBERNETES / "pixyproxy.env")
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)

    assert int(stop) > shutdown
    replica = compose["services"]["pixyproxy-1"]
    drain_delay = replica["environment"]["PIXYPROXY_DRAIN_DELAY"]
    assert int(replica["stop_grace_period"].removesuffix("s")) > drain_delay + shutdown
    assert manifest("deployment.yaml")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > (
        float(own["PIXYPROXY_DRAIN_DELAY"]) + float(own["PIXYPROXY_SHUTDOWN_TIMEOUT"]) + GRACE_SECONDS
    )


def test_compose_mounts_files_that_exist(compose: Any) -> None:
    mounts = list(chain.from_iterable(service.get("volumes", []) for service in compose["services"].values()))
    sources = {mount.partition(":")[0] for mount in mounts}
    assert all((ROOT / source).is_file() for source in sources if source.startswith("."))
    assert {source for source in sources if not source.startswith(".")} == set(compose["volumes"])


def test_compose_leads_nginx_to_its_replicas(compose: Any) -> None:
    configuration = (ROOT / "docs" / "nginx" / "replicas.conf").read_text(encoding="utf-8")
    addresses = re.findall(r"^ *server (\S+):8000 max_fails=0;$", configuration, re.MULTILINE)
    services = compose["services"]

    assert addresses == [name for name in services if name.startswith("pixyproxy")]
    trusted = {services[name]["environment"]["FORWARDED_ALLOW_IPS"] for name in addresses}
    assert trusted == {services["nginx"]["networks"]["front"]["ipv4_address"]}


def test_compose_drains_replicas_for_longer_than_nginx_keeps_idle_connections(compose: Any) -> None:
    configuration = (ROOT / "docs" / "nginx" / "replicas.conf").read_text(encoding="utf-8")
    (kept,) = re.findall(r"^ *keepalive_timeout (\d+)s;$", configuration, re.MULTILINE)
    assert compose["services"]["pixyproxy-1"]["environment"]["PIXYPROXY_DRAIN_DELAY"] > int(kept)


def test_compose_has_no_password_of_its_own() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    for name in SECRETS:
        assert set(re.findall(rf"\$\{{{name}(:.)", text)) == {":?"}


def docker_compose() -> Iterator[list[str]]:
    if shutil.which("docker-compose"):
        yield ["docker-compose"]
    if shutil.which("docker"):
        yield ["docker", "compose"]


def test_docker_compose_takes_the_file() -> None:
    usable = (command for command in docker_compose() if run(*command, "version").returncode == 0)
    command = next(usable, None) or real_parts.lack("Docker Compose", "install its plugin", may_lack=True)
    done = run(*command, "--file", COMPOSE, "config", "--quiet", **SECRETS)
    assert done.returncode == 0, done.stderr
    for name in SECRETS:
        refused = run(*command, "--file", COMPOSE, "config", **{**SECRETS, name: ""})
        assert f"required variable {name} is missing a value: set it in .env" in refused.stderr


def test_systemd_knows_every_line_of_the_unit_and_finds_it_safe() -> None:
    analyze = shutil.which("systemd-analyze") or real_parts.lack("systemd", "apt-get install systemd", may_lack=True)
    verified = run(analyze, "verify", "--man=no", UNIT)
    # The program is installed elsewhere.
    complaints = [line for line in verified.stderr.splitlines() if "pixyproxy" in line and "is not exec" not in line]
    assert complaints == []
    # Of 100, for a service without any protection.
    judged = run(analyze, "security", "--offline=true", "--threshold=15", UNIT)
    assert judged.returncode == 0, judged.stdout[-200:]
