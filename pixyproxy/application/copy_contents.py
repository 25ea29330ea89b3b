"""Use case: copy all contents from one store into another."""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import groupby
from typing import Any, Final

import msgspec

from pixyproxy.application.digest_check import DigestCheck, find_sha256, read_sha256
from pixyproxy.application.in_order import in_order
from pixyproxy.application.progress import no_progress
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError, DamagedContentError
from pixyproxy.domain.ports import ContentPorts, FoundContent, Quarantined, StoredContent

FAULTS_MAX: Final = 20
COPIED_AT_ONCE: Final = 4

_SOURCE: Final = "Source"
_TARGET: Final = "Target"
_DAMAGED_COPY: Final = "The copy is not what was written."


class CopyOutcome(StrEnum):
    """The outcome for one content or item in quarantine.

    `REFUSED` is one that the target has with other bytes, or one in quarantine that has no key. `GONE` is one that was
    deleted from the source meanwhile.
    """

    COPIED = "copied"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    FAILED = "failed"
    GONE = "gone"


class CopyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one content or item in quarantine; `detail` has the reason if it was not copied."""

    name: str
    outcome: CopyOutcome
    byte_size: int = 0
    detail: str = ""


class CopyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The number of contents and items in quarantine by outcome, and the bytes of those copied."""

    outcomes: Mapping[CopyOutcome, int]
    byte_size: int

    @property
    def not_copied(self) -> int:
        """The number of those that were to be copied and were not."""
        return self.outcomes.get(CopyOutcome.REFUSED, 0) + self.outcomes.get(CopyOutcome.FAILED, 0)


_Fingerprint = tuple[int, str | None]
_Job = Callable[[], Coroutine[Any, Any, Sequence[CopyResult]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyContents:
    """Copy the contents and the quarantine of each source in `pairs` into its target, `at_once` of them at a time.

    Skips what the target has, with the same size and the SHA-256 that `digests` says, so that an interrupted copy can
    go on; with `new_only` it skips contents that the target lists, whatever they are. Never replaces nor deletes
    anything: a content that the target has with other bytes is a problem. Copies are compared with the SHA-256 that the
    target keeps, or that of its bytes. Variants are left out: they are made again. May run beside a service that uses
    the source. `on_progress` gets the report so far, `on_problem` each that was not copied. Memory grows with the
    quarantine, not with the number of contents.

    Raises `ContentStoreError` for a store that can't be listed, and when 20 contents in a row could not be copied.
    """

    pairs: Sequence[tuple[ContentPorts, ContentPorts]]
    at_once: int = COPIED_AT_ONCE

    async def __call__(
        self,
        *,
        digests: DigestCheck = DigestCheck.KEPT,
        new_only: bool = False,
        on_progress: Callable[[CopyReport], None] = no_progress,
        on_problem: Callable[[CopyResult], None] = no_progress,
    ) -> CopyReport:
        outcomes: Counter[CopyOutcome] = Counter()
        byte_size, faults = 0, 0
        try:
            jobs = self._jobs(digests, new_only=new_only)
            async with aclosing(in_order(jobs, lambda job: job(), at_once=self.at_once)) as copying:
                async for results in copying:
                    for result in results:
                        outcomes[result.outcome] += 1
                        byte_size += result.byte_size
                        if result.detail:
                            on_problem(result)
                        faults = faults + 1 if result.outcome is CopyOutcome.FAILED else 0
                        if faults == FAULTS_MAX:
                            raise ContentStoreError(f"{FAULTS_MAX} contents in a row could not be copied.")
                    on_progress(CopyReport(outcomes=outcomes, byte_size=byte_size))
        except _StoreFaultError as exc:
            raise ContentStoreError(exc.detail) from exc
        return CopyReport(outcomes=outcomes, byte_size=byte_size)

    async def _jobs(self, digests: DigestCheck, *, new_only: bool) -> AsyncIterator[_Job]:
        for source, target in self.pairs:
            copy = _Copy(source=source, target=target, digests=digests)
            with _faults_of(_SOURCE):
                listed = _Listed(target.keys() if new_only else None)
                async for key in source.keys():
                    yield partial(copy.listed if await listed.has(key) else copy.content, key)
                items = await source.list_quarantine()
            for key_of_items, group in groupby(sorted(items, key=_order_of), key=lambda item: item.key):
                yield partial(copy.quarantined, key_of_items, tuple(group))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """Copies single contents from one store into another."""

    source: ContentPorts
    target: ContentPorts
    digests: DigestCheck

    async def listed(self, key: ContentKey) -> Sequence[CopyResult]:
        return [CopyResult(name=key, outcome=CopyOutcome.UNCHANGED)]

    async def content(self, key: ContentKey) -> Sequence[CopyResult]:
        return [await _result_of(key, self._content(key))]

    async def quarantined(self, key: ContentKey | None, items: Sequence[Quarantined]) -> Sequence[CopyResult]:
        """Copy the items of one key; those that are there already may have other names."""
        if key is None:
            detail = "Its name is not one that PixyProxy gives: copy it by hand."
            return [CopyResult(name=_name_of(item), outcome=CopyOutcome.REFUSED, detail=detail) for item in items]
        try:
            there = await self._quarantine_of(key)
        except _StoreFaultError as exc:
            return [_failed(_name_of(item), exc) for item in items]
        return [await _result_of(_name_of(item), self._item(key, item, there)) for item in items]

    async def _content(self, key: ContentKey) -> CopyResult:
        with _faults_of(_TARGET):
            there = await self.target.find_content(key)
        if there is not None:
            return await self._compared(key, there)
        with _faults_of(_SOURCE):
            found = await self.source.find_content(key)
            stored = await self.source.open(key)
        reading = _Reading(stored, None if found is None else found.sha256)
        with _faults_of(_TARGET):
            await self.target.put(key, reading.chunks())
            check = DigestCheck.READ if self.digests is DigestCheck.READ else DigestCheck.KEPT
            copied = await self.target.find_content(key)
            if copied is None or await find_sha256(self.target, key, copied, check) != reading.sha256:
                raise DamagedContentError(_DAMAGED_COPY)
        return CopyResult(name=key, outcome=CopyOutcome.COPIED, byte_size=reading.byte_size)

    async def _compared(self, key: ContentKey, there: FoundContent) -> CopyResult:
        with _faults_of(_SOURCE):
            found = await self.source.find_content(key)
            if found is None:
                raise ContentNotFoundError("The content is missing.")
            is_equal = found.byte_size == there.byte_size
            sha256 = await find_sha256(self.source, key, found, self.digests) if is_equal else None
        with _faults_of(_TARGET):
            if is_equal and await find_sha256(self.target, key, there, self.digests) == sha256:
                return CopyResult(name=key, outcome=CopyOutcome.UNCHANGED)
        detail = "The target has other bytes under this name, and they were left as they are."
        return CopyResult(name=key, outcome=CopyOutcome.REFUSED, detail=detail)

    async def _quarantine_of(self, key: ContentKey) -> Counter[_Fingerprint]:
        with _faults_of(_TARGET):
            items = await self.target.list_quarantine(key)
            return Counter([await self._fingerprint(self.target, item) for item in items])

    async def _fingerprint(self, store: ContentPorts, item: Quarantined) -> _Fingerprint:
        if self.digests is DigestCheck.NONE:
            return item.byte_size, None
        return item.byte_size, await read_sha256(await store.open_quarantined(item.name))

    async def _item(self, key: ContentKey, item: Quarantined, there: Counter[_Fingerprint]) -> CopyResult:
        with _faults_of(_SOURCE):
            if there.total() and there[fingerprint := await self._fingerprint(self.source, item)]:
                there[fingerprint] -= 1
                return CopyResult(name=_name_of(item), outcome=CopyOutcome.UNCHANGED)
            reading = _Reading(await self.source.open_quarantined(item.name))
        with _faults_of(_TARGET):
            earlier = {kept.name for kept in await self.target.list_quarantine(key)}
            await self.target.put_quarantined(key, reading.chunks())
            for copied in await self.target.list_quarantine(key):
                if copied.name not in earlier:
                    stored = await self.target.open_quarantined(copied.name)
                    if await read_sha256(stored) == reading.sha256:
                        return CopyResult(name=_name_of(item), outcome=CopyOutcome.COPIED, byte_size=reading.byte_size)
            raise DamagedContentError(_DAMAGED_COPY)


class _Reading:
    """The chunks of a content of the source, and their size and SHA-256 when they have been read."""

    def __init__(self, stored: StoredContent, sha256: str | None = None) -> None:
        self._stored = stored
        self._expected = sha256
        self._digest = hashlib.sha256()
        self.byte_size = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    async def chunks(self) -> AsyncIterator[bytes]:
        with _faults_of(_SOURCE):
            async for chunk in self._stored.chunks:
                self._digest.update(chunk)
                self.byte_size += len(chunk)
                yield chunk
            if self.byte_size != self._stored.byte_size or self._expected not in {None, self.sha256}:
                raise DamagedContentError("The content is not what was stored.")


class _Listed:
    """The keys of the target, asked for in their order."""

    def __init__(self, keys: AsyncIterator[ContentKey] | None) -> None:
        self._keys = keys
        self._next: ContentKey | None = ContentKey("")

    async def has(self, key: ContentKey) -> bool:
        """Whether the target lists this key, which must be behind those asked for before."""
        with _faults_of(_TARGET):
            while self._keys is not None and self._next is not None and self._next < key:
                self._next = await anext(self._keys, None)
        return self._next == key


class _StoreFaultError(Exception):
    """One of the stores failed; `detail` says which and why."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class _GoneError(Exception):
    """The source has it no more."""


@contextmanager
def _faults_of(side: str) -> Iterator[None]:
    """Tell the faults of the two stores apart: what a put of one raises may come from reading the other."""
    try:
        yield
    except ContentNotFoundError as exc:
        if side == _SOURCE:
            raise _GoneError from exc
        raise _StoreFaultError(f"{side}: {exc.detail}") from exc
    except ContentStoreError as exc:
        # The notes are for the operator, who reads this.
        raise _StoreFaultError(" ".join([f"{side}: {exc.detail}", *getattr(exc, "__notes__", ())])) from exc


async def _result_of(name: str, work: Awaitable[CopyResult]) -> CopyResult:
    try:
        return await work
    except _GoneError:
        return CopyResult(name=name, outcome=CopyOutcome.GONE)
    except _StoreFaultError as exc:
        return _failed(name, exc)


def _failed(name: str, exc: _StoreFaultError) -> CopyResult:
    return CopyResult(name=name, outcome=CopyOutcome.FAILED, detail=exc.detail)


def _name_of(item: Quarantined) -> str:
    return f"{item.name} in quarantine"


def _order_of(item: Quarantined) -> tuple[str, str]:
    return item.key or "", item.name
