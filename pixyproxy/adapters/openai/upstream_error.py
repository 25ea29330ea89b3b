"""Errors of upstreams, in all their shapes."""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import msgspec

from pixyproxy.adapters.openai.redaction import Redaction

# Azure nests its own reason in the error, up to a few times.
_MAX_NESTING: Final = 5
_REFUSAL_WORDS: Final = frozenset(
    {
        "moderationblocked",
        "contentpolicyviolation",
        "contentfilter",
        "contentfiltered",
        "responsibleaipolicyviolation",
        "safetyviolation",
        "safetyviolations",
        "datainspectionfailed",
        "sensitivecontent",
    }
)
_REFUSAL_TYPE: Final = "imagegenerationusererror"
_REFUSAL_TEXTS: Final = re.compile(
    r"safety system|content management policy|content policy|content filter|content moderation|usage polic|"
    r"responsible ?ai|(?:rejected|blocked|flagged) by .{0,40}moderation|moderation_blocked|content_policy|"
    r"content_filter|\b(?:prompt|input|request|content|image|output)\b.{0,20}\bflagged\b|contentpolicyviolation",
    re.IGNORECASE,
)
_QUOTA_WORDS: Final = re.compile(r"quota|billing|balance|credits|payment|arrear")
_QUOTA_TEXTS: Final = re.compile(
    r"(?:quota|credits?|balance|funds)\b.{0,40}\b(?:exhausted|exceeded|insufficient|used up)|"
    r"(?:exceeded your current|insufficient|exhausted|exceeded|not enough|out of|no)\b.{0,20}"
    r"\b(?:quota|credits?|balance|funds)",
    re.IGNORECASE,
)
_WEB_PAGE: Final = re.compile(r"\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)

# The statuses that blame the content of the request.
_REQUEST_STATUSES: Final = frozenset({200, 400, 403, 406, 409, 422, 451})
# The statuses that blame its options: 400, 404, 422 and the like, except those about the account and passing ones.
_OPTION_STATUSES: Final = frozenset({400, 404, 406, 410, 413, 415, 422})
_UNKNOWN_MODEL: Final = "modelnotfound"
# Between the names in a parameter such as `body.size` or `image[1]`.
_SEPARATORS: Final = re.compile(r"[./\[\]]+")
NOTHING_GIVEN: Final[Mapping[str, str]] = MappingProxyType({})
_ERROR_STATUSES: Final = range(400, 600)
# The statuses in errors of other services' answers with status 200, and the meaning of their names.
_STATUSES: Final[Mapping[str, int]] = {
    "invalidapikey": 401,
    "authenticationerror": 401,
    "insufficientquota": 402,
    "permissionerror": 403,
    "permissiondenied": 403,
    "modelnotfound": 404,
    "notfounderror": 404,
    "ratelimitexceeded": 429,
    "ratelimiterror": 429,
    "toomanyrequests": 429,
    "invalidrequesterror": 400,
    "invalidvalue": 400,
    "badrequest": 400,
    "servererror": 500,
    "apierror": 500,
    "internalerror": 500,
    "internalservererror": 500,
    "overloadederror": 503,
    "serviceunavailable": 503,
}


class UpstreamError(msgspec.Struct, frozen=True, kw_only=True):
    """An error in the upstream's own words; all but `message` must pass a `Redaction` before they are shown.

    `status` is that of HTTP or, in an answer with status 200, the one of the error's code. `words` are its codes and
    types, also those of its inner errors, in lower case with only letters and digits. `field` is the one of the
    client's request that it blames, if it blames one.
    """

    status: int
    code: str
    kind: str
    param: str
    message: str
    words: frozenset[str]
    details: Mapping[str, Any]
    is_web_page: bool
    is_in_good_answer: bool = False
    field: str | None = None

    @classmethod
    def read(
        cls,
        status: int,
        body: object,
        redact: Redaction,
        *,
        is_in_good_answer: bool = False,
        given: Mapping[str, str] = NOTHING_GIVEN,
    ) -> "UpstreamError":
        """Return the error in `body`: the value of `error`, the whole document without one, or a text.

        Of several errors it returns the first. `given` are the parameters that the client chose, with their fields in
        the client's request.
        """
        if isinstance(body, list) and body:
            body = body[0]
        document: Mapping[str, Any] = body if isinstance(body, dict) else {}
        parts = list(_nested(document))
        # A code says more than a type.
        named = [_word(part.get(name)) for name in ("code", "type") for part in parts]
        words = frozenset(named) - {""}
        if isinstance(body, str) and re.fullmatch(r"[\w.-]{1,100}", body):
            # A single word is a code.
            named = [_word(body)]
            words = frozenset(named)
        text = body if isinstance(body, str) else next(filter(None, map(_message, parts)), "")
        if is_in_good_answer:
            numbers = (_status(part.get(name)) for part in parts for name in ("code", "status"))
            status = next(filter(None, numbers), 0) or next(
                (_STATUSES[word] for word in named if word in _STATUSES), 200
            )
        param = _text(document.get("param")) or _field(document.get("detail"))
        if not param and _UNKNOWN_MODEL in words:
            param = "model"
        return cls(
            status=status,
            code=_text(document.get("code")),
            kind=_text(document.get("type")),
            param=param,
            message=redact(re.sub(r"<[^>]{0,500}>", " ", text[:4_000]) if _WEB_PAGE.match(text) else text),
            words=words,
            details=document,
            is_web_page=isinstance(body, str) and _WEB_PAGE.match(body) is not None,
            is_in_good_answer=is_in_good_answer,
            field=_blamed(status, param, given),
        )

    @property
    def is_refusal(self) -> bool:
        """Whether the upstream refuses to draw the prompt."""
        if self.words & _REFUSAL_WORDS:
            return True
        is_about_request = self.status in _REQUEST_STATUSES
        has_code = bool(_word(self.details.get("code")))
        return (_REFUSAL_TYPE in self.words and not has_code) or (
            is_about_request and not self.is_web_page and _REFUSAL_TEXTS.search(self.message) is not None
        )

    @property
    def rejected_option(self) -> str | None:
        """The field of the client's option that the upstream rejects; None if it rejects something else."""
        is_unknown_model = self.status == HTTPStatus.FORBIDDEN and _UNKNOWN_MODEL in self.words
        return self.field if self.status in _OPTION_STATUSES or is_unknown_model else None

    @property
    def is_out_of_quota(self) -> bool:
        """Whether the account can't pay."""
        if self.status == HTTPStatus.PAYMENT_REQUIRED or any(_QUOTA_WORDS.search(word) for word in self.words):
            return True
        return self.status == HTTPStatus.FORBIDDEN and _QUOTA_TEXTS.search(self.message) is not None

    @property
    def is_about_prompt(self) -> bool:
        """Whether the upstream rejects the prompt, which is the client's."""
        return re.fullmatch(r"(?:[a-z_]{1,30}[./])*prompt(?:\[[0-9]{1,9}\])?", self.param, re.IGNORECASE) is not None


def _blamed(status: int, param: str, given: Mapping[str, str]) -> str | None:
    names = [param, *_SEPARATORS.split(param)]
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        # Nothing else makes a request large.
        names.append("image")
    return next((given[name] for name in names if name in given), None)


def _nested(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    part: object = document
    for _ in range(_MAX_NESTING):
        if not isinstance(part, dict):
            return
        yield part
        inner = {_word(name): value for name, value in part.items() if value}
        part = next((inner[name] for name in ("innererror", "error", "details", "errors") if name in inner), None)
        if isinstance(part, list):
            part = part[0]


def _message(part: Mapping[str, Any]) -> str:
    texts = (part.get(name) for name in ("message", "msg", "detail", "error", "error_description", "title"))
    found = next((text for text in texts if isinstance(text, str) and text), "")
    details = part.get("detail")
    if not found and isinstance(details, list) and details and isinstance(details[0], dict):
        return _text(details[0].get("msg"))
    return found


def _field(details: object) -> str:
    """Return the field of a FastAPI error."""
    first = details[0] if isinstance(details, list) and details else None
    location = first.get("loc") if isinstance(first, dict) else None
    return _text(location[-1]) if isinstance(location, list) and location else ""


def _text(value: object) -> str:
    if isinstance(value, str):
        return value[:1_000]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9 else ""


def _word(value: object) -> str:
    return re.sub(r"[^a-z0-9]+", "", value[:200].lower()) if isinstance(value, str) else ""


def _status(value: object) -> int | None:
    number = int(value) if isinstance(value, str) and re.fullmatch("[45][0-9]{2}", value, re.ASCII) else value
    return number if isinstance(number, int) and number in _ERROR_STATUSES else None
