"""Parameters of the routes of images, as the OpenAPI document describes them."""

from typing import Final

from litestar.openapi.spec import OpenAPIFormat, OpenAPIType, Reference, Schema

from pixyproxy.application.pages import LIMIT_DEFAULT, LIMIT_MAX
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.generation_request import MODEL_MAX_LENGTH
from pixyproxy.domain.image import ImageStatus
from pixyproxy.domain.listing import ImageOrder
from pixyproxy.domain.search import SEARCH_MAX_LENGTH
from pixyproxy.domain.tag import TAG_MAX_LENGTH, TAGS_MAX_COUNT
from pixyproxy.entrypoints.cursor_signer import CURSOR_MAX_LENGTH
from pixyproxy.entrypoints.http.parameters import NO_NUL_PATTERN, header_parameter, query_parameter

# Rules of the domain, as regular expressions that mean the same in Python and in ECMAScript.
TAG_PATTERN: Final = r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f\u2028\u2029]*[^\s\x00-\x1f\x7f-\x9f])?$"
_USER_NAME_PATTERN: Final = r"^[^\s\x00-\x1f\x7f-\x9f:]([^\x00-\x1f\x7f-\x9f\u2028\u2029:]*[^\s\x00-\x1f\x7f-\x9f:])?$"
_IDEMPOTENCY_KEY_PATTERN: Final = r"""^([!#-~]{1,255}|"([!#-\[\]-~]|\\["\\]){1,255}")$"""
_IF_MATCH_PATTERN: Final = r"""^(\*|(W/)?"[!#-~]*"(, (W/)?"[!#-~]*")*)$"""

_PAGE: Final = (
    query_parameter(
        "limit",
        "How many entries to return at most, 1 to 1,000.",
        type=OpenAPIType.INTEGER,
        minimum=1,
        maximum=LIMIT_MAX,
        default=LIMIT_DEFAULT,
    ),
    query_parameter(
        "cursor",
        "Where the page begins. Never made up: it comes with the `Link` header of a page of the same list.",
        max_length=CURSOR_MAX_LENGTH,
    ),
)

_FILTERS: Final = (
    query_parameter(
        "tag",
        "Only images with this tag; repeated, only those with all of the tags.",
        type=OpenAPIType.ARRAY,
        items=Schema(type=OpenAPIType.STRING, min_length=1, max_length=TAG_MAX_LENGTH, pattern=TAG_PATTERN),
        max_items=TAGS_MAX_COUNT,
        unique_items=True,
    ),
    query_parameter("author", "Only images that this user requested.", min_length=1, pattern=_USER_NAME_PATTERN),
    query_parameter(
        "model",
        "Only images that this model has drawn.",
        min_length=1,
        max_length=MODEL_MAX_LENGTH,
        pattern=NO_NUL_PATTERN,
    ),
    query_parameter("media_type", "Only images whose content has this media type.", enum=list(MediaType)),
    query_parameter(
        "created_after",
        "Only images requested at this time (RFC 3339) or later.",
        format=OpenAPIFormat.DATE_TIME,
    ),
    query_parameter(
        "created_before", "Only images requested before this time (RFC 3339).", format=OpenAPIFormat.DATE_TIME
    ),
    query_parameter(
        "q",
        'Only images whose prompts have all of these words. Double quotes hold a phrase together: `"red fox"`; a `*`'
        " stands for any end of a word: `light*`. Case and punctuation make no difference, nor do accents of Latin,"
        " Greek, Cyrillic (but for `й`), Hebrew and Arabic letters; `lodz` finds `Łódź`. In other scripts marks are"
        " letters. In lists of one's own images, words of the `sender` count as those of the prompt do.",
        min_length=1,
        max_length=SEARCH_MAX_LENGTH,
        pattern=NO_NUL_PATTERN,
    ),
    query_parameter("batch", "Only images of this batch: those of one request.", format=OpenAPIFormat.UUID),
    query_parameter(
        "derived_from",
        "Only images that this image was a reference or the mask of; none if you may not read it.",
        format=OpenAPIFormat.UUID,
    ),
)
_SORT: Final = query_parameter(
    "sort",
    "`-created_at`: the newest first; `created_at`: the oldest.",
    type=None,
    all_of=[Reference("#/components/schemas/ImageOrder")],
    default=ImageOrder.NEWEST_FIRST,
)
_OF_VISIBILITY: Final = query_parameter(
    "visibility",
    "Only images of this visibility.",
    type=None,
    all_of=[Reference("#/components/schemas/Visibility")],
)
_OF_STATUS: Final = query_parameter(
    "status",
    "Only images in this state.",
    type=None,
    all_of=[Reference("#/components/schemas/ImageStatus")],
    default=ImageStatus.READY,
)
_PREFER_COUNT: Final = header_parameter(
    "Prefer", "`count=exact`: say in `X-Total-Count` how many there are; that may take long."
)

PUBLIC_LIST_PARAMETERS: Final = (*_FILTERS, _SORT, _PREFER_COUNT, *_PAGE)
PRIVATE_LIST_PARAMETERS: Final = (*_FILTERS, _OF_VISIBILITY, _OF_STATUS, _SORT, _PREFER_COUNT, *_PAGE)
TAG_LIST_PARAMETERS: Final = (
    query_parameter(
        "prefix",
        "Only tags that begin with this.",
        max_length=TAG_MAX_LENGTH,
        pattern=NO_NUL_PATTERN,
        default="",
    ),
    *_PAGE,
)
CREATION_PARAMETERS: Final = (
    header_parameter(
        "Idempotency-Key",
        "1 to 255 visible ASCII characters, in double quotes or not. A second request with the same key and the same"
        " body buys nothing and gets the answer of the first.",
        pattern=_IDEMPOTENCY_KEY_PATTERN,
    ),
    header_parameter(
        "Prefer", "`respond-async`: answer 202 at once; `wait=N`: after N seconds at the latest (RFC 7240)."
    ),
)
IF_MATCH_PARAMETER: Final = header_parameter(
    "If-Match",
    "The `ETag` of the details as you have seen them: if they have changed since, nothing is done.",
    pattern=_IF_MATCH_PATTERN,
    examples=['"3"'],
)
