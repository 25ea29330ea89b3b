"""The database, as the repositories see it."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from pixyproxy.adapters.sql.dialect import Dialect

T = TypeVar("T")
Rows = Sequence[Sequence[Any]]
Parameters = Mapping[str, object]
Fetch = Callable[[str, Parameters], Awaitable[Rows]]


class Transaction(Protocol):
    """Statements that take effect together; each is written as `Dialect` describes."""

    @abstractmethod
    async def execute(self, sql: str, parameters: Parameters | None = None) -> int:
        """Run a statement and return the number of rows it found or stored."""

    @abstractmethod
    async def execute_many(self, sql: str, parameters: Sequence[Parameters]) -> None:
        """Run a statement once for each set of parameters."""

    @abstractmethod
    async def insert(self, sql: str, parameters: Parameters) -> int:
        """Store one row and return its id."""

    @abstractmethod
    async def fetch_all(self, sql: str, parameters: Parameters | None = None) -> Rows:
        """Return all rows of a query."""


class SQLDatabase(Protocol):
    """Runs statements, each written as `Dialect` describes, and raises the errors of the domain."""

    @property
    @abstractmethod
    def dialect(self) -> Dialect:
        """The dialect of the statements."""

    @abstractmethod
    async def fetch_all(self, sql: str, parameters: Parameters | None = None) -> Rows:
        """Return all rows of a query, as of its start."""

    @abstractmethod
    async def fetch_list(self, sql: str, parameters: Parameters) -> Rows:
        """Do the same for a list, which may take longer; single reads do not wait for lists."""

    @abstractmethod
    def search(self) -> AbstractAsyncContextManager[Fetch]:
        """Wait for a search's turn, and yield a function that returns all rows of a query.

        Raises `OverloadedError` if the turn does not come in time, or the search takes too long.
        """

    @abstractmethod
    async def execute(self, sql: str, parameters: Parameters | None = None, *, makes_room: bool = False) -> int:
        """Run one writing statement as a transaction of its own, retried as `write` is; return its number of rows."""

    @abstractmethod
    async def write(self, work: Callable[[Transaction], Awaitable[T]], *, makes_room: bool = False) -> T:
        """Run `work` as one transaction and return its result: all its statements take effect, or none.

        `work` may run again: where other writers get in the way, the transaction is rolled back and retried, a bounded
        number of times. With `makes_room`, it may use the space that the database reserves for deletions. Raises what
        `work` raises.
        """
