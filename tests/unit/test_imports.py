"""The cost of importing PixyProxy, and packages that it must not import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HELP_CPU_SECONDS = 0.5
FRAMEWORKS_AND_DRIVERS = {
    "litestar",
    "uvicorn",
    "aiomysql",
    "pymysql",
    "aiosqlite",
    "sqlite3",
    "openai",
    "httpx",
    "httpx2",
    "dependency_injector",
    "click",
    "structlog",
    "PIL",
    "argon2",
}
HEAVY = {"litestar", "uvicorn", "aiomysql", "pymysql", "openai", "PIL", "dependency_injector", "structlog", "argon2"}


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after `statement`."""
    tell = "import sys; print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    interpreter = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{tell}"], check=True, capture_output=True, text=True
    )
    return set(interpreter.stdout.split())


def test_importing_the_use_cases_imports_no_framework_and_no_driver() -> None:
    modules = modules_after("import pixyproxy.application")
    assert "pixyproxy" in modules
    assert modules & FRAMEWORKS_AND_DRIVERS == set()


@pytest.mark.parametrize("module", ["image", "user", "errors", "ports", "text"])
def test_importing_the_domain_imports_no_framework_and_no_driver(module: str) -> None:
    assert modules_after(f"import pixyproxy.domain.{module}") & FRAMEWORKS_AND_DRIVERS == set()


def test_the_adapters_in_memory_import_no_framework_and_no_driver() -> None:
    folder = Path(__file__).parents[2] / "pixyproxy" / "adapters" / "memory"
    names = sorted(path.stem for path in folder.glob("[a-z]*.py"))
    assert "image_repository" in names
    statements = [f"import pixyproxy.adapters.memory.{name}" for name in names]
    assert modules_after("\n".join(statements)) & FRAMEWORKS_AND_DRIVERS == set()


def test_importing_the_settings_reads_no_environment() -> None:
    statement = "import os; os.environ['PIXYPROXY_PORT'] = 'http'; import pixyproxy.entrypoints.settings"
    assert "pixyproxy" in modules_after(statement)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["serve", "--help"],
        ["users", "add", "--help"],
        ["generate", "--help"],
        ["doctor", "--help"],
        ["export", "--help"],
        ["import", "--help"],
    ],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    statement = f"from pixyproxy.entrypoints.cli import main; main({arguments!r}, standalone_mode=False)"
    modules = modules_after(statement)
    assert "click" in modules
    assert modules & HEAVY == set()


def test_help_answers_in_under_half_a_second_of_cpu() -> None:
    command = [sys.executable, "-m", "pixyproxy", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        shown = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert "generate" in shown
    assert usage.ru_utime + usage.ru_stime < HELP_CPU_SECONDS
