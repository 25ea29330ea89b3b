"""Records as database rows, and back; the tables of MySQL and SQLite have the same columns.

Times are text in UTC with six digits of a fraction: independent of the time zones of drivers and sessions, and faster
to parse than a driver's.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from pixyproxy.domain.api_key import APIKey, KeyScope
from pixyproxy.domain.errors import DamagedRecordError, DataValidationError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import Claim, ClaimedImage
from pixyproxy.domain.image import Image, ImageId, Visibility
from pixyproxy.domain.listing import ChangePosition, ImageChange, TagCount
from pixyproxy.domain.ports import UpgradeProgress
from pixyproxy.domain.reference import Reference
from pixyproxy.domain.search import Phrase, terms_of
from pixyproxy.domain.sender import Sender
from pixyproxy.domain.session import Session
from pixyproxy.domain.tag import Tag, ensure_tags
from pixyproxy.domain.user import PasswordHash, User, UserId, UserName

# Fewer take less time than starting a thread.
_FEW_CHARACTERS: Final = 1_000


def time_to_text(time: datetime) -> str:
    """Return a time in UTC as stored text."""
    return time.replace(tzinfo=None).isoformat(" ", "microseconds")


def time_from_text(text: str) -> datetime:
    """Return the time in UTC of a stored text."""
    return datetime.fromisoformat(f"{text}Z")


def image_to_row(image: Image) -> Mapping[str, object]:
    """Return the columns of table `images` by name, without the id."""
    content = image.content
    return {
        "guid": str(image.guid),
        "filename": image.filename,
        "prompt": image.prompt,
        "author": image.author,
        "visibility": image.visibility.value,
        "status": image.status.value,
        "model": image.model,
        "media_type": content and content.media_type.value,
        "byte_size": content and content.byte_size,
        "sha256": content and content.sha256,
        "width": content and content.width,
        "height": content and content.height,
        "generator_usage": None if image.usage is None else json.dumps(image.usage),
        "failure": image.failure and image.failure.detail,
        "failure_kind": image.failure and image.failure.kind,
        "maybe_billed": image.failure and image.failure.maybe_billed,
        "failure_field": image.failure and image.failure.field,
        "generator_request_id": image.generator_request_id,
        "request": json.dumps(options) if (options := image.request.options) else None,
        "result": None if image.result is None else msgspec.json.encode(image.result).decode(),
        "batch": image.batch and str(image.batch.guid),
        "batch_position": image.batch and image.batch.position,
        "batch_size": image.batch and image.batch.size,
        "sender": image.sender and msgspec.json.encode(image.sender).decode(),
        "created_at": time_to_text(image.created_at),
        "updated_at": time_to_text(image.updated_at),
        "version": image.version,
        "tags": json.dumps(image.tags, ensure_ascii=False),
    }


def claim_to_row(claim: Claim, guid: UUID) -> Mapping[str, object]:
    """Return the parameters of the statement that stores the claim of an idempotency key."""
    return {
        "author": claim.author or "",
        "idempotency_key": claim.key,
        "guid": str(guid),
        "fingerprint": claim.fingerprint,
        "seconds": claim.seconds,
        "attempt": claim.attempt,
        "replaces": claim.replaces and str(claim.replaces),
    }


def claimed_from_row(row: Sequence[Any]) -> ClaimedImage:
    """Return the claimed image, from its guid and its fingerprint."""
    guid, fingerprint = row
    return ClaimedImage(guid=UUID(guid), fingerprint=fingerprint)


def undamaged_changes(rows: Sequence[Sequence[Any]]) -> Sequence[ImageChange]:
    """Return the changes of rows that can be read, from the guid, the version, the time and the id of each."""
    changes = []
    for guid, version, time, image_id in rows:
        with suppress(ValueError):
            position = ChangePosition(time_from_text(time), ImageId(image_id))
            changes.append(ImageChange(guid=UUID(guid), version=version, position=position))
    return changes


def references_to_rows(pictures: Sequence[Reference], image_id: int) -> Sequence[Mapping[str, object]]:
    """Return the rows of table `image_references` for an image with these references and mask."""
    return [
        reference_to_row(
            image_id,
            position,
            picture.guid and str(picture.guid),
            picture.upload and picture.upload.content.sha256,
        )
        for position, picture in enumerate(pictures)
    ]


def reference_to_row(image_id: int, position: int, guid: object, sha256: object) -> Mapping[str, object]:
    """Return the row of table `image_references` for one reference or mask, by the names of its parameters."""
    return {"image_id": image_id, "position": position, "reference_guid": guid, "sha256": sha256}


def stored_pictures(request: str | None) -> Sequence[Reference]:
    """Return the references and the mask in column `request`; raise `DataValidationError` if it is not valid."""
    if request is None:
        return ()
    try:
        stored = msgspec.convert({**json.loads(request), "prompt": "any"}, GenerationRequest)
    except (ValueError, TypeError, RecursionError, msgspec.ValidationError) as exc:
        raise DataValidationError("request", "must be a JSON object of options") from exc
    stored.ensure_valid()
    return stored.pictures


# The columns of table `images` that are copied to table `image_tags`.
COPIED: Final = ("author", "visibility", "status", "created_at", "guid")


def tags_to_rows(tags: Sequence[str], image_id: int, image: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    """Return the rows of table `image_tags` for an image with these tags, from its row of table `images`."""
    copies = {column: image[column] for column in COPIED}
    return [{"image_id": image_id, "position": position, "tag": tag, **copies} for position, tag in enumerate(tags)]


def stored_tags(text: str) -> Sequence[Tag]:
    """Return the tags in column `tags`; raise `DataValidationError` if they are not valid."""
    try:
        tags = msgspec.json.decode(text, type=tuple[Tag, ...])
    except (msgspec.DecodeError, RecursionError) as exc:
        raise DataValidationError("tags", "must be a JSON array of texts") from exc
    ensure_tags(tags)
    return tags


def tag_count_from_row(row: Sequence[Any]) -> TagCount:
    """Return a tag and its number of images."""
    tag, images = row
    return TagCount(Tag(tag), images)


def words_to_row(image_id: int, prompt: str, sender: str = "") -> Mapping[str, object]:
    """Return the row of table `image_words` for an image with this prompt and the text of its sender, by column name.

    The words of the sender have another beginning, so that only searches for them find them.
    """
    words = [*map(term_to_text, terms_of(prompt)), *map(sender_term_to_text, terms_of(sender))]
    return {
        "image_id": image_id,
        "words": f" {' '.join(words)} ",
        "prompt_digest": hashlib.sha256(prompt.encode()).hexdigest(),
    }


async def words_to_rows(rows: Sequence[Sequence[Any]]) -> Sequence[Mapping[str, object]]:
    """Return the same for rows that begin with id, prompt and sender, without blocking the event loop."""

    def work() -> Sequence[Mapping[str, object]]:
        return [words_to_row(image_id, prompt, sender_text(sender)) for image_id, prompt, sender, *_ in rows]

    is_short = sum(len(prompt) for _, prompt, *_ in rows) <= _FEW_CHARACTERS
    return work() if is_short else await asyncio.to_thread(work)


def term_to_text(term: str) -> str:
    """Return a term as stored: MySQL's full-text index omits words of less than three letters, and stopwords."""
    return f"zz{term}"


def sender_term_to_text(term: str) -> str:
    """Return a term of a sender as stored."""
    return f"zy{term}"


def phrase_to_text(phrase: Phrase, to_text: Callable[[str], str] = term_to_text) -> str:
    """Return the text that an image's words contain if its prompt, or what `to_text` is for, has the phrase."""
    return f" {' '.join(map(to_text, phrase.terms))}{'' if phrase.is_prefix else ' '}"


def sender_text(column: str | None) -> str:
    """Return what a search finds the sender in column `sender` by; nothing for a damaged one."""
    try:
        return "" if column is None else msgspec.json.decode(column, type=Sender).text
    except (msgspec.DecodeError, RecursionError):
        return ""


def progress_from_row(row: Sequence[Any]) -> UpgradeProgress:
    """Return the progress of a data upgrade, from its position and the time it was finished."""
    position, finished_at = row
    return UpgradeProgress(position=position, finished_at=finished_at and time_from_text(finished_at))


def user_to_row(user: User) -> Mapping[str, object]:
    """Return the columns of table `users` by name, without the id."""
    return {
        "name": user.name,
        "password_hash": user.password_hash,
        "is_disabled": user.is_disabled,
        "is_admin": user.is_admin,
        "created_at": time_to_text(user.created_at),
    }


def user_from_row(row: Sequence[Any]) -> User:
    """Return the user of a row with the columns of table `users` in order."""
    id_, name, password_hash, is_disabled, is_admin, created_at = row
    return User(
        id=UserId(id_),
        name=UserName(name),
        password_hash=PasswordHash(password_hash),
        is_disabled=bool(is_disabled),
        is_admin=bool(is_admin),
        created_at=time_from_text(created_at),
    )


def key_to_row(key: APIKey) -> Mapping[str, object]:
    """Return the columns of table `api_keys` by name."""
    return {
        "guid": str(key.guid),
        "name": key.name,
        "user_name": key.user,
        "prefix": key.prefix,
        "digest": key.digest,
        "scopes": " ".join(key.scopes),
        "visibility": key.visibility and key.visibility.value,
        "tags": json.dumps(key.tags, ensure_ascii=False),
        "created_at": time_to_text(key.created_at),
        "expires_at": key.expires_at and time_to_text(key.expires_at),
        "last_used_at": key.last_used_at and time_to_text(key.last_used_at),
        "revoked_at": key.revoked_at and time_to_text(key.revoked_at),
    }


def key_from_row(row: Sequence[Any]) -> APIKey:
    """Return the key of a row with the columns of table `api_keys` in order; raise `DamagedRecordError`."""
    guid, name, user, prefix, digest, scopes, visibility, tags, *times = row
    try:
        created_at, expires_at, last_used_at, revoked_at = (time and time_from_text(time) for time in times)
        return APIKey(
            guid=UUID(guid),
            name=name,
            user=UserName(user),
            prefix=prefix,
            digest=digest,
            scopes=tuple(map(KeyScope, scopes.split())),
            visibility=visibility and Visibility(visibility),
            tags=tuple(stored_tags(tags)),
            created_at=created_at,
            expires_at=expires_at,
            last_used_at=last_used_at,
            revoked_at=revoked_at,
        )
    except ValueError as exc:
        raise DamagedRecordError(f"The record of API key {guid} is damaged.") from exc


def session_to_row(session: Session) -> Mapping[str, object]:
    """Return the columns of table `sessions` by name."""
    return {
        "guid": str(session.guid),
        "user_name": session.user,
        "digest": session.digest,
        "password_digest": session.password_digest,
        "created_at": time_to_text(session.created_at),
        "seen_at": time_to_text(session.seen_at),
        "expires_at": time_to_text(session.expires_at),
    }


def session_from_row(row: Sequence[Any]) -> Session:
    """Return the session of a row with the columns of table `sessions` in order; raise `DamagedRecordError`."""
    guid, user, digest, password_digest, created_at, seen_at, expires_at = row
    try:
        return Session(
            guid=UUID(guid),
            user=UserName(user),
            digest=digest,
            password_digest=password_digest,
            created_at=time_from_text(created_at),
            seen_at=time_from_text(seen_at),
            expires_at=time_from_text(expires_at),
        )
    except ValueError as exc:
        raise DamagedRecordError(f"The record of session {guid} is damaged.") from exc
