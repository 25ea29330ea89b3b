"""Programs that use a client's package, and the clients that tests drive through them."""

import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final, Self

from tests.clients import environments
from tests.clients.environments import PythonEnvironment
from tests.documents import ROOT
from tests.doubles.service import clean_environment

PROGRAMS: Final = Path(__file__).parent / "programs"
ANSWER_SECONDS: Final = 100.0

Result = dict[str, Any]


class CallError(Exception):
    """What a client's package raised: the name of its class, and what the package tells of the answer."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(json.dumps(fields))
        self.kind: str = fields["class"]
        self.message: str = fields["message"]
        self.status: int | None = fields.get("status")
        self.code: str | None = fields.get("code")
        self.param: str | None = fields.get("param")
        self.request_id: str | None = fields.get("request_id")
        self.maybe_billed: bool | None = fields.get("maybe_billed")


class Program:
    """A running program, which `tests/clients/programs/calls.py` describes.

    Takes its command line, and the folder to run it in.
    """

    def __init__(self, command: Sequence[str | Path], folder: Path) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by `stop`
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            # Python keeps what it compiles, also on machines where it is told not to: LiteLLM has thousands of modules.
            env=clean_environment({"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "", "NO_PROXY": "127.0.0.1"}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._numbers = itertools.count()
        self._lock = Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def begin(self, call: str, **arguments: object) -> Future[Any]:
        """Let the program make this call, and return what will have its result or its `CallError`."""
        future: Future[Any] = Future()
        number = next(self._numbers)
        with self._lock:
            self._waiting[number] = future
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"id": number, "call": call, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
        return future

    def stop(self) -> None:
        """End the program."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._errors.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            future = self._waiting.pop(answer["id"])
            if "error" in answer:
                future.set_exception(CallError(answer["error"]))
            else:
                future.set_result(answer["result"])
        for future in self._waiting.values():
            future.set_exception(RuntimeError(f"the program ended:\n{self._printed()}"))

    def _printed(self) -> str:
        return os.pread(self._errors.fileno(), os.fstat(self._errors.fileno()).st_size, 0).decode()


class Programs:
    """The programs that tests have asked for so far, each started once. A context manager."""

    def __init__(self) -> None:
        self._running: dict[str, Program] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="pixyproxy-clients-"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._running.values():
            program.stop()
        shutil.rmtree(self._folder)

    def python(self, module: str, environment: PythonEnvironment) -> Program:
        """Return the running program of this name, with the packages of `environment`."""
        environments.require(environment)
        command: Sequence[str | Path] = [environment.python, "-m", f"tests.clients.programs.{module}"]
        return self._started(f"{module} {environment.name}", command, ROOT)

    def node(self, module: str) -> Program:
        """Return the running program of this name, with the packages for Node."""
        environments.require(environments.NODE, environments.NODE_PACKAGES)
        if not any(self._folder.iterdir()):
            for path in PROGRAMS.glob("*.mjs"):
                shutil.copy(path, self._folder)
            environments.NODE_PACKAGES.link_into(self._folder)
        return self._started(module, [environments.NODE_PACKAGES.program, f"{module}.mjs"], self._folder)

    def _started(self, name: str, command: Sequence[str | Path], folder: Path) -> Program:
        if name not in self._running:
            self._running[name] = Program(command, folder)
        return self._running[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client's package as one uses it; `always` are arguments of each call."""

    name: str
    module: str
    environment: PythonEnvironment | None = None
    always: Mapping[str, object]

    def among(self, programs: Programs) -> Program:
        """Return its running program."""
        if self.environment is None:
            return programs.node(self.module)
        return programs.python(self.module, self.environment)


OPENAI_PYTHON: Final = Client(
    name="openai for Python", module="openai_python", environment=environments.OPENAI, always={}
)
OPENAI_PYTHON_ASYNC: Final = Client(
    name="openai for Python, asynchronous",
    module="openai_python",
    environment=environments.OPENAI,
    always={"is_asynchronous": True},
)
OPENAI_PYTHON_1: Final = Client(
    name="openai 1 for Python", module="openai_python", environment=environments.OPENAI_1, always={}
)
OPENAI_NODE: Final = Client(name="openai for Node", module="openai_node", always={})
AI_SDK: Final = Client(name="AI SDK", module="ai_sdk", always={"provider": "openai"})
AI_SDK_COMPATIBLE: Final = Client(name="AI SDK, compatible", module="ai_sdk", always={"provider": "compatible"})
LITELLM: Final = Client(name="LiteLLM", module="litellm_library", environment=environments.LITELLM, always={})
LANGCHAIN: Final = Client(name="LangChain", module="langchain_tool", environment=environments.LANGCHAIN, always={})

OPENAI_SDKS: Final = (OPENAI_PYTHON, OPENAI_PYTHON_ASYNC, OPENAI_PYTHON_1, OPENAI_NODE)
AI_SDKS: Final = (AI_SDK, AI_SDK_COMPATIBLE)
ALL: Final = (*OPENAI_SDKS, *AI_SDKS, LITELLM)
