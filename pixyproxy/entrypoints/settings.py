"""The settings, loaded from environment variables."""

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from pixyproxy.adapters.mysql.url import parse_url
from pixyproxy.adapters.s3.presign import credentials_in
from pixyproxy.adapters.s3.url import S3URL, parse_s3_url
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import MODEL_MAX_LENGTH
from pixyproxy.domain.tag import parse_new_tags
from pixyproxy.domain.variant import VARIANT_MAX_SIDE
from pixyproxy.entrypoints.public_url import PublicURL, parse_public_url

PREFIX = "PIXYPROXY_"
ANY = "any"
NONE = "none"
DEFAULT_ALIASES = "gpt-image-1,dall-e-2,dall-e-3"
X_ACCEL = "x-accel:"
LINK_KEY_MIN_LENGTH = 32
# Read by the test suite only.
FOREIGN_NAMES = frozenset({"PIXYPROXY_TEST_MYSQL_URL"})

# Docker's --env-file and systemd's Environment= do not expand these.
_FOR_A_SHELL: Final = re.compile(r"/*(?:~|\$[{A-Za-z_])")
_NO_SHELL: Final = "starts with ~ or $, which no shell has expanded: write the whole path,"
# IPv6 addresses and names in any script, too.
_HOST: Final = re.compile(r"[^\s/\\%]+")
_HOST_NAME: Final = re.compile(r"\*|(\*\.)?[0-9A-Za-z_-]+(\.[0-9A-Za-z_-]+)*", re.ASCII)

_OFFLOAD: Final = re.compile(rf"{X_ACCEL}/((?!\.{{1,2}}/)[0-9A-Za-z._~-]+/)+")

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Duration = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class SettingsError(Exception):
    """Invalid settings; `problems` has one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DatabaseKind(StrEnum):
    """The database adapter."""

    SQLITE = "sqlite"
    MYSQL = "mysql"


class ContentKind(StrEnum):
    """The adapter of the content store."""

    FILE = "file"
    S3 = "s3"


class GeneratorKind(StrEnum):
    """The generator; `auto` is `openai` if there is a key, else `sketch`."""

    AUTO = "auto"
    OPENAI = "openai"
    SKETCH = "sketch"


class DeliveryKind(StrEnum):
    """How content leaves an S3 store: through the service, through nginx in front, or straight to the client."""

    PROXY = "proxy"
    X_ACCEL = "x-accel"
    REDIRECT = "redirect"


class GallerySwitch(StrEnum):
    """Whether the service has a gallery for browsers, with its logins."""

    ON = "on"
    OFF = "off"


class LogFormat(StrEnum):
    """The log format: for people, or one JSON object per line."""

    CONSOLE = "console"
    JSON = "json"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of the service; a field `x` is the environment variable `PIXYPROXY_X` unless it is renamed below."""

    database_url: str = "sqlite:///data/pixyproxy.db"
    mysql_pool_size: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 16
    mysql_connect_timeout: Seconds = 5.0
    mysql_timeout: Seconds = 30.0
    mysql_idle_timeout: Seconds = 60.0
    mysql_consistent_reads: bool = False
    content_url: str = "file:data/images"
    generator: GeneratorKind = GeneratorKind.AUTO
    openai_api_key: str | None = None
    openai_base_url: str = "https://api.openai.com/v1"
    openai_model: Name = "gpt-image-2"
    openai_models: str | None = None
    openai_allow_any: bool = False
    openai_aliases: str = DEFAULT_ALIASES
    openai_url_lifetime: Annotated[int, msgspec.Meta(ge=60, le=31_536_000)] = 86_400
    openai_size: Name | None = None
    openai_quality: Name | None = None
    openai_output_format: Literal["png", "jpeg", "webp", "gif", "svg"] = "png"
    openai_background: Literal["auto", "opaque", "transparent"] | None = None
    openai_send_extra: bool = False
    openai_timeout: Seconds = 180.0
    openai_images_per_minute: Annotated[float, msgspec.Meta(gt=0, le=100_000)] | None = None
    openai_concurrency: Positive | None = None
    openai_answer_origins: str | None = None
    reference_origins: str | None = None
    openai_tag: str | None = None
    anonymous_create: bool = False
    require_if_match: bool = False
    max_generations: Positive = 8
    max_waiting: Annotated[int, msgspec.Meta(ge=0)] = 64
    max_wait: Seconds = 300.0
    lease: Annotated[float, msgspec.Meta(ge=0.5, le=86_400)] = 15.0
    patience: Duration = 20.0
    idempotency_key_lifetime: Annotated[float, msgspec.Meta(ge=3_600, le=31_536_000)] = 86_400.0
    auto_upgrade: bool = False
    login_memory: Duration = 60.0
    wrong_logins: Positive = 10
    session_lifetime: Annotated[int, msgspec.Meta(ge=1, le=31_536_000)] = 2_592_000
    session_idle_timeout: Annotated[int, msgspec.Meta(ge=1, le=31_536_000)] = 1_209_600
    public_max_age: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 60
    variant_sizes: str = "64,128,256,512,1024"
    max_variants: Positive = 2
    max_searches: Positive = 2
    search_timeout: Annotated[float, msgspec.Meta(gt=0, le=25)] = 10.0
    link_keys: str | None = None
    content_offload: str | None = None
    content_delivery: str = "proxy"
    redirect_private: bool = False
    send_timeout: Seconds = 60.0
    max_upload: Annotated[int, msgspec.Meta(ge=1_024, le=67_108_864)] = 52_428_800
    max_json: Annotated[int, msgspec.Meta(ge=1_048_576, le=1_073_741_824)] = 67_108_864
    upload_timeout: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 3_600.0
    head_timeout: Seconds = 10.0
    min_rate: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1024
    keep_alive_timeout: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 5
    gallery: GallerySwitch = GallerySwitch.ON
    public_url: str | None = None
    allowed_hosts: str | None = None
    cors_origins: str | None = None
    host: str = "127.0.0.1"
    port: Port = 8000
    workers: Positive = 1
    log_format: LogFormat = LogFormat.CONSOLE
    drain_delay: Duration = 0.0
    shutdown_timeout: Duration = 200.0

    def __repr__(self) -> str:
        # Keep the API key and the database password out of logs and tracebacks.
        return f"{type(self).__name__}(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # Rich tracebacks of a host application would list all fields.
        return []

    @property
    def has_gallery(self) -> bool:
        """Whether there is a gallery."""
        return self.gallery is GallerySwitch.ON

    @property
    def database_kind(self) -> DatabaseKind:
        """The database adapter that `database_url` selects."""
        return DatabaseKind(_scheme(self.database_url))

    @property
    def generator_kind(self) -> GeneratorKind:
        """The generator to use, never `auto`."""
        if self.generator is not GeneratorKind.AUTO:
            return self.generator
        return GeneratorKind.OPENAI if self.openai_api_key else GeneratorKind.SKETCH

    @property
    def limit_name(self) -> str:
        """The name of the limits that generations count against: a digest of the OpenAI key, or `sketch`."""
        key = self.openai_api_key
        return hashlib.sha256(key.encode()).hexdigest()[:16] if key else "sketch"

    @property
    def database_path(self) -> str:
        """The path of the SQLite file, absolute if the URL has a fourth slash."""
        return unquote(urlsplit(self.database_url).path.removeprefix("/"))

    @property
    def content_kind(self) -> ContentKind:
        """The adapter of the content store that `content_url` selects."""
        return ContentKind(urlsplit(self.content_url).scheme)

    @property
    def content_path(self) -> str:
        """The path of the content folder, if content is kept in files."""
        return unquote(urlsplit(self.content_url).path)

    @property
    def content_bucket(self) -> S3URL:
        """The bucket, if content is kept in S3."""
        return parse_s3_url(self.content_url)

    @property
    def variant_sides(self) -> frozenset[int] | None:
        """The allowed widths and heights of variants in pixels, or None for any."""
        return None if self.variant_sizes == ANY else frozenset(map(int, self.variant_sizes.split(",")))

    @property
    def allowed_models(self) -> Sequence[str]:
        """The OpenAI models that clients may name."""
        return (self.openai_model,) if self.openai_models is None else tuple(dict.fromkeys(_listed(self.openai_models)))

    @property
    def model_aliases(self) -> Mapping[str, str | None]:
        """The model of each alias below `/v1`, None for the default model."""
        return {} if self.openai_aliases == NONE else dict(map(_alias, _listed(self.openai_aliases)))

    @property
    def answer_origins(self) -> tuple[str, ...]:
        """The origins that pictures may be downloaded from, besides the base URL's."""
        return _origins(self.openai_answer_origins)

    @property
    def picture_origins(self) -> tuple[str, ...]:
        """The origins that references may be fetched from."""
        return _origins(self.reference_origins)

    @property
    def link_secrets(self) -> tuple[bytes, ...]:
        """The keys of signed links, of which the first signs; empty to use the database's own."""
        return tuple(key.strip().encode() for key in (self.link_keys or "").split(",") if key.strip())

    @property
    def offload_path(self) -> str | None:
        """The path prefix of the content files in the web server in front, or None without one."""
        return None if self.content_offload is None else self.content_offload.removeprefix(X_ACCEL)

    @property
    def delivery_kind(self) -> DeliveryKind:
        """How content leaves an S3 store."""
        return DeliveryKind(self.content_delivery.partition(":")[0])

    @property
    def delivery_path(self) -> str:
        """The location of nginx in front that leads to the S3 store; empty for another kind of delivery."""
        return self.content_delivery.partition(":")[2]

    @property
    def public_address(self) -> PublicURL | None:
        """The public URL, or None to use that of each request."""
        return None if self.public_url is None else parse_public_url(self.public_url)

    @property
    def host_names(self) -> Sequence[str] | None:
        """The host names to accept, or None if not set."""
        return None if self.allowed_hosts is None else _listed(self.allowed_hosts)

    @property
    def allowed_origins(self) -> Sequence[str]:
        """The origins of front ends on other sites."""
        return tuple(parse_public_url(origin).origin for origin in _listed(self.cors_origins or ""))


def environment_name(field: str) -> str:
    """Return the environment variable that sets the field `field` of `Settings`."""
    customary = {"openai_api_key": "OPENAI_API_KEY", "openai_base_url": "OPENAI_BASE_URL"}
    return customary.get(field) or PREFIX + field.upper()


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings from `environment`, with defaults for the rest; an empty value counts as not set.

    Raises `SettingsError` with all problems at once: invalid values, and names that look like a misspelt setting.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        name = environment_name(field.name)
        text = environment.get(name, "").strip()
        if not text or _is_set_by_kubernetes(name, text):
            continue
        if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0]:
            # Docker's --env-file and systemd's Environment= keep the quotes.
            problems.append(f"{name} is in quotation marks, which would be part of the value: remove them.")
            continue
        try:
            values[field.name] = msgspec.convert(text, field.type, strict=False)
        except msgspec.ValidationError:
            problems.append(f"{name} must be {_allowed(field.type)}.")
    problems.extend(_misspelt(environment))
    settings = Settings(**values)
    problems.extend(_contradictions(settings))
    problems.extend(_credential_problems(settings, environment))
    if problems:
        raise SettingsError(problems)
    return settings


def _allowed(kind: Any) -> str:
    """Describe the allowed values of a type."""
    if get_origin(kind) in {Union, UnionType}:
        return _allowed(next(each for each in get_args(kind) if each is not NoneType))
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return f"one of {', '.join(kind)}"
    if kind is bool:
        return "true or false"
    base, rules = get_args(kind)
    if base is str:
        return f"{rules.min_length} to {rules.max_length} characters"
    bounds = {"at least": rules.ge, "more than": rules.gt, "at most": rules.le}
    said = [f"{words} {bound:,}" for words, bound in bounds.items() if bound is not None]
    return f"{'a whole number' if base is int else 'a number'}, {' and '.join(said)}"


def _is_set_by_kubernetes(name: str, text: str) -> bool:
    """Whether Kubernetes set this, as it does in every pod beside a service named pixyproxy."""
    return name == "PIXYPROXY_PORT" and "://" in text


def _misspelt(environment: Mapping[str, str]) -> Iterator[str]:
    # Ignore other names: Kubernetes sets PIXYPROXY_SERVICE_HOST for a service named pixyproxy.
    known = {PREFIX + field.upper(): environment_name(field) for field in Settings.__struct_fields__}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known.values() and name not in FOREIGN_NAMES:
            for near in difflib.get_close_matches(name, known, n=1, cutoff=0.85):
                yield f"{name} is not a setting; did you mean {known[near]}?"


def _scheme(database_url: str) -> str:
    # A URL of several hosts is none that the standard library can split.
    return database_url.partition(":")[0].partition("+")[0].lower()


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        # The error would quote the password.
        return None


def _names_host(url: SplitResult) -> bool:
    try:
        return _HOST.fullmatch(url.hostname or "") is not None and url.port != 0
    except ValueError:
        return False


def _contradictions(settings: Settings) -> Iterator[str]:
    yield from _database_problems(settings)
    yield from _content_problems(settings)
    yield from _generator_problems(settings)
    if settings.openai_tag is not None:
        try:
            parse_new_tags([settings.openai_tag])
        except DataValidationError as exc:
            yield f"PIXYPROXY_OPENAI_TAG can't be a tag: it {exc.detail}."
    yield from _delivery_problems(settings)
    yield from _address_problems(settings)


def _address_problems(settings: Settings) -> Iterator[str]:
    if settings.public_url is not None:
        try:
            parse_public_url(settings.public_url)
        except ValueError as exc:
            yield f"PIXYPROXY_PUBLIC_URL can't be used. {exc}"
    if not all(_HOST_NAME.fullmatch(name) for name in settings.host_names or ()):
        yield (
            "PIXYPROXY_ALLOWED_HOSTS must be host names without ports between commas, such as"
            " pixy.example.org,*.example.net, or * for any."
        )
    if not all(map(_is_origin, _listed(settings.cors_origins or ""))):
        yield (
            "PIXYPROXY_CORS_ORIGINS must be scheme, host and port of one or more sites between commas, such as"
            " https://app.example.org or http://localhost:3000."
        )


def _listed(text: str) -> Sequence[str]:
    return tuple(item for part in text.split(",") if (item := part.strip()))


def _origins(text: str | None) -> tuple[str, ...]:
    return tuple(origin for origin in re.split(r"[,\s]+", text or "") if origin)


def _alias(item: str) -> tuple[str, str | None]:
    alias, separator, model = (part.strip() for part in item.partition("="))
    return alias, model if separator else None


def _alias_problems(settings: Settings) -> Iterator[str]:
    if settings.openai_aliases == NONE:
        return
    aliases = list(map(_alias, _listed(settings.openai_aliases)))
    names = [name for name, _ in aliases]
    if not all(_is_model(name) and (model is None or _is_model(model)) for name, model in aliases):
        yield (
            "PIXYPROXY_OPENAI_ALIASES must be aliases and their models between commas, such as"
            f" gpt-image-1=gpt-image-2,dall-e-3=gpt-image-2, each of at most {MODEL_MAX_LENGTH} printable characters,"
            " or none."
        )
    elif len(set(names)) < len(names):
        yield "PIXYPROXY_OPENAI_ALIASES must not have an alias twice."
    elif not settings.openai_allow_any:
        unknown = [model for _, model in aliases if model is not None and model not in settings.allowed_models]
        if unknown:
            yield (
                f"PIXYPROXY_OPENAI_ALIASES must lead to models that requests may name; {unknown[0]} is not in"
                " PIXYPROXY_OPENAI_MODELS."
            )
    elif chained := [model for _, model in aliases if model in names and model not in settings.allowed_models]:
        yield f"PIXYPROXY_OPENAI_ALIASES must lead to models; {chained[0]} is an alias."


def _is_model(text: str) -> bool:
    return 0 < len(text) <= MODEL_MAX_LENGTH and text.isprintable() and "=" not in text


def _delivery_problems(settings: Settings) -> Iterator[str]:
    sizes = settings.variant_sizes
    if sizes != ANY and not (
        re.fullmatch(r"[1-9][0-9]{0,3}( *, *[1-9][0-9]{0,3})*", sizes, re.ASCII)
        and max(map(int, sizes.split(","))) <= VARIANT_MAX_SIDE
    ):
        yield f"PIXYPROXY_VARIANT_SIZES must be numbers of 1 to {VARIANT_MAX_SIDE:,} between commas, or any."
    if settings.link_keys is not None and not all(
        re.fullmatch(rf"[!-~]{{{LINK_KEY_MIN_LENGTH},}}", key.strip()) for key in settings.link_keys.split(",")
    ):
        # A more specific message would reveal parts of a secret.
        yield (
            "PIXYPROXY_LINK_KEYS must be one or more keys between commas, each of"
            f" {LINK_KEY_MIN_LENGTH} characters or more, printable ASCII without spaces."
        )
    if settings.content_offload is not None and not _OFFLOAD.fullmatch(settings.content_offload):
        yield "PIXYPROXY_CONTENT_OFFLOAD must be x-accel: and a path between slashes, such as x-accel:/internal/."
    yield from _s3_delivery_problems(settings)


def _s3_delivery_problems(settings: Settings) -> Iterator[str]:
    delivery = settings.content_delivery
    content = _split(settings.content_url)
    if delivery not in {DeliveryKind.PROXY, DeliveryKind.REDIRECT} and not _OFFLOAD.fullmatch(delivery):
        yield (
            "PIXYPROXY_CONTENT_DELIVERY must be proxy, redirect, or x-accel: and a path between slashes, such as"
            " x-accel:/s3/."
        )
    elif delivery != DeliveryKind.PROXY and (content is None or content.scheme != ContentKind.S3):
        yield (
            "PIXYPROXY_CONTENT_DELIVERY goes with content on S3; for content in files, PIXYPROXY_CONTENT_OFFLOAD has"
            " nginx send them."
        )
    elif delivery == DeliveryKind.REDIRECT and not _has_public_endpoint(settings.content_url):
        yield (
            "PIXYPROXY_CONTENT_DELIVERY is redirect, and PIXYPROXY_CONTENT_URL has no public_endpoint, the address of"
            " the store for clients."
        )
    if settings.redirect_private and delivery != DeliveryKind.REDIRECT:
        yield "PIXYPROXY_REDIRECT_PRIVATE goes with PIXYPROXY_CONTENT_DELIVERY=redirect alone."


def _has_public_endpoint(url: str) -> bool:
    try:
        return parse_s3_url(url).public_endpoint is not None
    except ValueError:
        # That is a problem of its own.
        return True


def _credential_problems(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    delivery, is_s3 = settings.content_delivery, settings.content_url.startswith(f"{ContentKind.S3}:")
    is_signed = delivery == DeliveryKind.REDIRECT or _OFFLOAD.fullmatch(delivery) is not None
    if is_s3 and is_signed and credentials_in(environment) is None:
        yield (
            "PIXYPROXY_CONTENT_DELIVERY needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which sign the URLs: the"
            " role of an instance, a container or a web identity can't."
        )


def _database_problems(settings: Settings) -> Iterator[str]:
    database = _split(settings.database_url)
    if _scheme(settings.database_url) == DatabaseKind.MYSQL:
        try:
            parse_url(settings.database_url)
        except ValueError as exc:
            yield f"PIXYPROXY_DATABASE_URL can't be used. {exc}"
    elif database is None:
        yield "PIXYPROXY_DATABASE_URL is not a URL; percent-encode special characters in user and password."
    elif database.scheme == DatabaseKind.SQLITE:
        path = settings.database_path
        if not _is_path_alone(database) or path in {"", ":memory:"} or "\0" in path:
            yield "PIXYPROXY_DATABASE_URL must be a file without query or host, such as sqlite:///data/pixyproxy.db."
        elif _FOR_A_SHELL.match(path):
            yield f"PIXYPROXY_DATABASE_URL {_NO_SHELL} such as sqlite:////home/ann/pixyproxy.db."
    else:
        yield "PIXYPROXY_DATABASE_URL must start with sqlite:/// or mysql://."


def _content_problems(settings: Settings) -> Iterator[str]:
    content = _split(settings.content_url)
    if content is not None and content.scheme == ContentKind.S3:
        try:
            parse_s3_url(settings.content_url)
        except ValueError as exc:
            yield f"PIXYPROXY_CONTENT_URL can't be used. {exc}"
        if settings.content_offload is not None:
            yield "PIXYPROXY_CONTENT_OFFLOAD goes with content in files, and PIXYPROXY_CONTENT_URL is a bucket of S3."
    elif (
        content is None
        or content.scheme != ContentKind.FILE
        or not _is_path_alone(content)
        or not settings.content_path
        or "\0" in settings.content_path
    ):
        yield (
            "PIXYPROXY_CONTENT_URL must be a folder without query or host, such as file:data/images, or a bucket of S3,"
            " such as s3://bucket/prefix."
        )
    elif _FOR_A_SHELL.match(settings.content_path):
        yield f"PIXYPROXY_CONTENT_URL {_NO_SHELL} such as file:///home/ann/images."


def _generator_problems(settings: Settings) -> Iterator[str]:
    if settings.generator is GeneratorKind.OPENAI and not settings.openai_api_key:
        yield "PIXYPROXY_GENERATOR is openai, but OPENAI_API_KEY is not set."
    if settings.openai_api_key and not re.fullmatch(r"[!-~]+", settings.openai_api_key):
        yield "OPENAI_API_KEY must be printable ASCII without spaces."
    if settings.openai_background == "transparent" and settings.openai_output_format not in {"png", "webp"}:
        yield "PIXYPROXY_OPENAI_BACKGROUND can be transparent only in the output formats png and webp."
    if not all(len(model) <= MODEL_MAX_LENGTH and model.isprintable() for model in settings.allowed_models):
        yield (
            f"PIXYPROXY_OPENAI_MODELS must be models of at most {MODEL_MAX_LENGTH} characters between commas, all of"
            " them printable."
        )
    elif settings.openai_model not in settings.allowed_models:
        yield (
            f"PIXYPROXY_OPENAI_MODELS must list the default model, {settings.openai_model}; or set"
            " PIXYPROXY_OPENAI_MODEL to one that it lists."
        )
    yield from _alias_problems(settings)
    base = _split(settings.openai_base_url)
    if base is None or base.scheme not in {"http", "https"} or not _names_host(base):
        yield "OPENAI_BASE_URL must start with http:// or https:// and a host, optionally with a port."
    elif base.query or base.fragment:
        yield "OPENAI_BASE_URL must end with its path, such as https://api.openai.com/v1."
    for name, origins in (
        ("PIXYPROXY_OPENAI_ANSWER_ORIGINS", settings.answer_origins),
        ("PIXYPROXY_REFERENCE_ORIGINS", settings.picture_origins),
    ):
        if not all(map(_is_origin, origins)):
            yield (
                f"{name} must be scheme, host and port of one or more servers between commas, such as"
                " https://images.example.com or http://10.0.0.5:9000."
            )


def _is_origin(text: str) -> bool:
    try:
        return not parse_public_url(text).prefix
    except ValueError:
        return False


def _is_path_alone(url: SplitResult) -> bool:
    return not (url.netloc or url.query or url.fragment)
