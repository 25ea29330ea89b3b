"""Settings from an environment."""

import re
import subprocess
import traceback
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.pretty import pretty_repr

from pixyproxy.adapters.s3.url import S3URL
from pixyproxy.entrypoints.settings import (
    ContentKind,
    DatabaseKind,
    DeliveryKind,
    GeneratorKind,
    LogFormat,
    Settings,
    SettingsError,
    environment_name,
    load_settings,
)

EXAMPLE = Path(__file__).parents[3] / ".env.example"
KEY = "sk-very-secret"
PASSWORD = "hunter2secret"
LINK_KEY = "0123456789abcdefABCDEF!$%&/()=?~"


def problems_of(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(environment)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_an_empty_environment_gives_the_embedded_default() -> None:
    settings = load_settings({})
    assert settings == Settings()
    assert settings.database_kind is DatabaseKind.SQLITE
    assert settings.database_path == "data/pixyproxy.db"
    assert settings.content_path == "data/images"
    assert settings.generator_kind is GeneratorKind.SKETCH
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert not settings.anonymous_create


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("PIXYPROXY_DATABASE_URL", "mysql://u:p@h/d", "database_url", "mysql://u:p@h/d"),
        ("PIXYPROXY_DATABASE_URL", "mysql://u:p@a,[::1]:3/d", "database_url", "mysql://u:p@a,[::1]:3/d"),
        ("PIXYPROXY_MYSQL_CONSISTENT_READS", "true", "mysql_consistent_reads", True),
        ("PIXYPROXY_CONTENT_URL", "file:///srv/images", "content_url", "file:///srv/images"),
        ("PIXYPROXY_GENERATOR", "sketch", "generator", GeneratorKind.SKETCH),
        ("OPENAI_API_KEY", KEY, "openai_api_key", KEY),
        ("OPENAI_BASE_URL", "https://example.org/v1", "openai_base_url", "https://example.org/v1"),
        ("PIXYPROXY_OPENAI_MODEL", "gpt-image-1-mini", "openai_model", "gpt-image-1-mini"),
        ("PIXYPROXY_OPENAI_MODELS", "a, gpt-image-2", "openai_models", "a, gpt-image-2"),
        ("PIXYPROXY_OPENAI_ALLOW_ANY", "true", "openai_allow_any", True),
        ("PIXYPROXY_OPENAI_SEND_EXTRA", "true", "openai_send_extra", True),
        ("PIXYPROXY_OPENAI_ALIASES", "gpt-image-1=gpt-image-2", "openai_aliases", "gpt-image-1=gpt-image-2"),
        ("PIXYPROXY_OPENAI_URL_LIFETIME", "60", "openai_url_lifetime", 60),
        ("PIXYPROXY_PUBLIC_URL", "https://h.example/p", "public_url", "https://h.example/p"),
        ("PIXYPROXY_ALLOWED_HOSTS", "a.example, *.b.example", "allowed_hosts", "a.example, *.b.example"),
        ("PIXYPROXY_ALLOWED_HOSTS", "*", "allowed_hosts", "*"),
        (
            "PIXYPROXY_CORS_ORIGINS",
            "https://a.example,http://b:3000",
            "cors_origins",
            "https://a.example,http://b:3000",
        ),
        ("PIXYPROXY_OPENAI_SIZE", "1536x1024", "openai_size", "1536x1024"),
        ("PIXYPROXY_OPENAI_QUALITY", "low", "openai_quality", "low"),
        ("PIXYPROXY_OPENAI_OUTPUT_FORMAT", "webp", "openai_output_format", "webp"),
        ("PIXYPROXY_OPENAI_OUTPUT_FORMAT", "svg", "openai_output_format", "svg"),
        ("PIXYPROXY_OPENAI_BACKGROUND", "transparent", "openai_background", "transparent"),
        ("PIXYPROXY_OPENAI_TIMEOUT", "30.5", "openai_timeout", 30.5),
        ("PIXYPROXY_OPENAI_IMAGES_PER_MINUTE", "0.5", "openai_images_per_minute", 0.5),
        ("PIXYPROXY_OPENAI_CONCURRENCY", "1", "openai_concurrency", 1),
        ("PIXYPROXY_OPENAI_ANSWER_ORIGINS", "http://a:9", "openai_answer_origins", "http://a:9"),
        ("PIXYPROXY_REFERENCE_ORIGINS", "http://a:9", "reference_origins", "http://a:9"),
        ("PIXYPROXY_ANONYMOUS_CREATE", "true", "anonymous_create", True),
        ("PIXYPROXY_AUTO_UPGRADE", "1", "auto_upgrade", True),
        ("PIXYPROXY_LOGIN_MEMORY", "0", "login_memory", 0.0),
        ("PIXYPROXY_PUBLIC_MAX_AGE", "0", "public_max_age", 0),
        ("PIXYPROXY_VARIANT_SIZES", "1, 4096", "variant_sizes", "1, 4096"),
        ("PIXYPROXY_MAX_VARIANTS", "1", "max_variants", 1),
        ("PIXYPROXY_LINK_KEYS", LINK_KEY, "link_keys", LINK_KEY),
        ("PIXYPROXY_CONTENT_OFFLOAD", "x-accel:/internal/", "content_offload", "x-accel:/internal/"),
        ("PIXYPROXY_SEND_TIMEOUT", "0.5", "send_timeout", 0.5),
        ("PIXYPROXY_HOST", "::", "host", "::"),
        ("PIXYPROXY_PORT", "1", "port", 1),
        ("PIXYPROXY_WORKERS", "4", "workers", 4),
        ("PIXYPROXY_LOG_FORMAT", "json", "log_format", LogFormat.JSON),
        ("PIXYPROXY_SHUTDOWN_TIMEOUT", "5", "shutdown_timeout", 5.0),
    ],
)
def test_each_variable_sets_its_field_and_no_other(name: str, text: str, field: str, value: Any) -> None:
    assert environment_name(field) == name
    settings = load_settings({name: text, "PATH": "/bin"})
    assert settings == msgspec.structs.replace(Settings(), **{field: value})


def test_every_field_has_a_variable_of_its_own() -> None:
    names = [environment_name(field) for field in Settings.__struct_fields__]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("text", ["", " ", "\t\n"])
def test_an_empty_variable_is_not_set(text: str) -> None:
    environment = {environment_name(field): text for field in Settings.__struct_fields__}
    assert load_settings(environment) == Settings()


def test_white_space_around_a_value_is_trimmed() -> None:
    assert load_settings({"PIXYPROXY_PORT": " 9000\n"}).port == 9000


@pytest.mark.parametrize("text", ["true", "1", "TRUE", "True"])
def test_words_for_yes(text: str) -> None:
    assert load_settings({"PIXYPROXY_ANONYMOUS_CREATE": text}).anonymous_create


@pytest.mark.parametrize("text", ["false", "0", "FALSE"])
def test_words_for_no(text: str) -> None:
    assert not load_settings({"PIXYPROXY_ANONYMOUS_CREATE": text}).anonymous_create


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PIXYPROXY_PORT", "http"),
        ("PIXYPROXY_PORT", "-1"),
        ("PIXYPROXY_PORT", "0"),
        ("PIXYPROXY_PORT", "65536"),
        ("PIXYPROXY_PORT", "80.5"),
        ("PIXYPROXY_WORKERS", "0"),
        ("PIXYPROXY_OPENAI_TIMEOUT", "0"),
        ("PIXYPROXY_OPENAI_TIMEOUT", "nan"),
        ("PIXYPROXY_OPENAI_TIMEOUT", "inf"),
        ("PIXYPROXY_LOGIN_MEMORY", "-1"),
        ("PIXYPROXY_PUBLIC_MAX_AGE", "-1"),
        ("PIXYPROXY_PUBLIC_MAX_AGE", "86401"),
        ("PIXYPROXY_PUBLIC_MAX_AGE", "1.5"),
        ("PIXYPROXY_VARIANT_SIZES", "0"),
        ("PIXYPROXY_VARIANT_SIZES", "64,4097"),
        ("PIXYPROXY_VARIANT_SIZES", "64,,128"),
        ("PIXYPROXY_VARIANT_SIZES", "64,"),
        ("PIXYPROXY_VARIANT_SIZES", "64 128"),
        ("PIXYPROXY_VARIANT_SIZES", "٦٤"),
        ("PIXYPROXY_VARIANT_SIZES", "64,any"),
        ("PIXYPROXY_MAX_VARIANTS", "0"),
        ("PIXYPROXY_LINK_KEYS", LINK_KEY[1:]),
        ("PIXYPROXY_LINK_KEYS", f"{LINK_KEY},short"),
        ("PIXYPROXY_LINK_KEYS", f"{LINK_KEY},"),
        ("PIXYPROXY_LINK_KEYS", f",{LINK_KEY}"),
        ("PIXYPROXY_LINK_KEYS", f"{LINK_KEY} {LINK_KEY}"),
        ("PIXYPROXY_LINK_KEYS", f"{LINK_KEY}ü"),
        ("PIXYPROXY_CONTENT_OFFLOAD", "/internal/"),
        ("PIXYPROXY_CONTENT_OFFLOAD", "x-accel:internal/"),
        ("PIXYPROXY_CONTENT_OFFLOAD", "x-accel:/internal"),
        ("PIXYPROXY_CONTENT_OFFLOAD", "x-accel:/"),
        ("PIXYPROXY_CONTENT_OFFLOAD", "x-accel:/a/../b/"),
        ("PIXYPROXY_CONTENT_OFFLOAD", "x-accel:/./"),
        ("PIXYPROXY_CONTENT_OFFLOAD", "x-accel:/a b/"),
        ("PIXYPROXY_CONTENT_OFFLOAD", "x-sendfile:/internal/"),
        ("PIXYPROXY_CONTENT_DELIVERY", "redirect"),
        ("PIXYPROXY_CONTENT_DELIVERY", "x-accel:/s3/"),
        ("PIXYPROXY_CONTENT_DELIVERY", "x-accel"),
        ("PIXYPROXY_CONTENT_DELIVERY", "x-accel:/s3"),
        ("PIXYPROXY_CONTENT_DELIVERY", "x-accel:s3/"),
        ("PIXYPROXY_CONTENT_DELIVERY", "x-accel:/"),
        ("PIXYPROXY_CONTENT_DELIVERY", "redirect:/s3/"),
        ("PIXYPROXY_CONTENT_DELIVERY", "proxy:"),
        ("PIXYPROXY_CONTENT_DELIVERY", "direct"),
        ("PIXYPROXY_REDIRECT_PRIVATE", "true"),
        ("PIXYPROXY_REDIRECT_PRIVATE", "public"),
        ("PIXYPROXY_SEND_TIMEOUT", "0"),
        ("PIXYPROXY_ANONYMOUS_CREATE", "maybe"),
        ("PIXYPROXY_GENERATOR", "dall-e"),
        ("PIXYPROXY_LOG_FORMAT", "xml"),
        ("PIXYPROXY_OPENAI_OUTPUT_FORMAT", "bmp"),
        ("PIXYPROXY_OPENAI_BACKGROUND", "pink"),
        ("PIXYPROXY_OPENAI_MODEL", "x" * 256),
        ("PIXYPROXY_DATABASE_URL", "oracle://u:p@h/d"),
        ("PIXYPROXY_DATABASE_URL", "pixyproxy.db"),
        ("PIXYPROXY_DATABASE_URL", "sqlite://"),
        ("PIXYPROXY_DATABASE_URL", "sqlite:///"),
        ("PIXYPROXY_DATABASE_URL", "sqlite://pixyproxy.db"),
        ("PIXYPROXY_DATABASE_URL", "mysql+asyncpg://u:p@h/d"),
        ("PIXYPROXY_DATABASE_URL", "sqlite+aiosqlite:///x.db"),
        ("PIXYPROXY_DATABASE_URL", "mysql://u:p@h"),
        ("PIXYPROXY_DATABASE_URL", "mysql://u:p@h/"),
        ("PIXYPROXY_DATABASE_URL", "mysql://u:p[1]@h/d"),
        ("PIXYPROXY_DATABASE_URL", "mysql://u:p@h:port/d"),
        ("PIXYPROXY_DATABASE_URL", "mysql://u:p@a:1,,b:2/d"),
        ("PIXYPROXY_DATABASE_URL", "mysql://u:p@::1/d"),
        ("PIXYPROXY_DATABASE_URL", "mysql://h/d"),
        ("PIXYPROXY_DATABASE_URL", "mysql://u:p@h/d?charset=utf8"),
        ("PIXYPROXY_DATABASE_URL", "sqlite:///:memory:"),
        ("PIXYPROXY_DATABASE_URL", "sqlite:///x.db?mode=ro"),
        ("PIXYPROXY_DATABASE_URL", "sqlite:///x#1.db"),
        ("PIXYPROXY_DATABASE_URL", "sqlite:///x%00.db"),
        ("PIXYPROXY_CONTENT_URL", "file:x%00"),
        ("PIXYPROXY_CONTENT_URL", "s3://"),
        ("PIXYPROXY_CONTENT_URL", "s3:bucket"),
        ("PIXYPROXY_CONTENT_URL", "s3://user:secret@bucket"),
        ("PIXYPROXY_CONTENT_URL", "s3://[x/images"),
        ("PIXYPROXY_CONTENT_URL", "data/images"),
        ("PIXYPROXY_CONTENT_URL", "file:"),
        ("PIXYPROXY_CONTENT_URL", "file:x?y"),
        ("PIXYPROXY_CONTENT_URL", "file:x#y"),
        ("PIXYPROXY_CONTENT_URL", "file://data/images"),
        ("PIXYPROXY_CONTENT_URL", "file://[x/images"),
        ("PIXYPROXY_GENERATOR", "openai"),
        ("OPENAI_BASE_URL", "example.org/v1"),
        ("OPENAI_BASE_URL", "http://[x/v1"),
        ("OPENAI_BASE_URL", "https:///v1"),
        ("OPENAI_BASE_URL", "https://example.org:99999/v1"),
        ("OPENAI_BASE_URL", "https://example.org:0/v1"),
        ("OPENAI_BASE_URL", "https://exam ple.org/v1"),
        ("OPENAI_BASE_URL", "https://example.org/v1?api-version=1"),
        ("OPENAI_BASE_URL", "https://example.org/v1#images"),
        ("PIXYPROXY_OPENAI_MODELS", "gpt-image-1.5"),
        ("PIXYPROXY_OPENAI_MODELS", ","),
        ("PIXYPROXY_OPENAI_MODELS", "gpt-image-2," + "x" * 256),
        ("PIXYPROXY_OPENAI_MODELS", "gpt-image-2,a\x01b"),
        ("PIXYPROXY_OPENAI_MODELS", "GPT-Image-2"),
        ("PIXYPROXY_OPENAI_ALLOW_ANY", "any"),
        ("PIXYPROXY_OPENAI_ALIASES", "gpt-image-1=gpt-image-1.5"),
        ("PIXYPROXY_OPENAI_ALIASES", "gpt-image-1=dall-e-3,dall-e-3=gpt-image-2"),
        ("PIXYPROXY_OPENAI_ALIASES", "gpt-image-1=gpt-image-2,gpt-image-1"),
        ("PIXYPROXY_OPENAI_ALIASES", "gpt-image-1="),
        ("PIXYPROXY_OPENAI_ALIASES", "=gpt-image-2"),
        ("PIXYPROXY_OPENAI_ALIASES", "a=b=c"),
        ("PIXYPROXY_OPENAI_ALIASES", "a\x01=gpt-image-2"),
        ("PIXYPROXY_OPENAI_ALIASES", "x" * 256),
        ("PIXYPROXY_OPENAI_URL_LIFETIME", "59"),
        ("PIXYPROXY_OPENAI_URL_LIFETIME", "31536001"),
        ("PIXYPROXY_OPENAI_SEND_EXTRA", "some"),
        ("PIXYPROXY_OPENAI_IMAGES_PER_MINUTE", "0"),
        ("PIXYPROXY_OPENAI_IMAGES_PER_MINUTE", "nan"),
        ("PIXYPROXY_OPENAI_IMAGES_PER_MINUTE", "100001"),
        ("PIXYPROXY_OPENAI_CONCURRENCY", "0"),
        ("PIXYPROXY_OPENAI_CONCURRENCY", "1.5"),
        ("PIXYPROXY_OPENAI_ANSWER_ORIGINS", "images.example.com"),
        ("PIXYPROXY_OPENAI_ANSWER_ORIGINS", "ftp://images.example.com"),
        ("PIXYPROXY_OPENAI_ANSWER_ORIGINS", "https://*.example.com"),
        ("PIXYPROXY_OPENAI_ANSWER_ORIGINS", "https://images.example.com/path"),
        ("PIXYPROXY_OPENAI_ANSWER_ORIGINS", "https://user@images.example.com"),
        ("PIXYPROXY_OPENAI_ANSWER_ORIGINS", "https://images.example.com:0"),
        ("PIXYPROXY_OPENAI_ANSWER_ORIGINS", "https://images.example.com:65536"),
        ("PIXYPROXY_OPENAI_ANSWER_ORIGINS", "https://a, https://"),
        ("PIXYPROXY_OPENAI_ANSWER_ORIGINS", "http://[::1"),
        ("PIXYPROXY_OPENAI_ANSWER_ORIGINS", "http://[1:2]"),
        ("PIXYPROXY_REFERENCE_ORIGINS", "*"),
        ("PIXYPROXY_REFERENCE_ORIGINS", "images.example.com"),
        ("PIXYPROXY_REFERENCE_ORIGINS", "file:///"),
        ("PIXYPROXY_REFERENCE_ORIGINS", "https://images.example.com/path"),
        ("PIXYPROXY_REFERENCE_ORIGINS", "https://user@images.example.com"),
        ("OPENAI_API_KEY", "sk with spaces"),
        ("OPENAI_API_KEY", "sk-schlüssel"),
    ],
)
def test_a_value_that_can_not_be_used_is_one_problem_that_names_its_variable(name: str, text: str) -> None:
    [problem] = problems_of({name: text})
    assert problem.startswith(name)
    assert problem.endswith(".")


@pytest.mark.parametrize(
    ("environment", "models"),
    [
        ({}, ("gpt-image-2",)),
        ({"PIXYPROXY_OPENAI_MODEL": "a,b"}, ("a,b",)),
        ({"PIXYPROXY_OPENAI_MODEL": "b", "PIXYPROXY_OPENAI_MODELS": "a, b,\tc,,a"}, ("a", "b", "c")),
    ],
)
def test_the_models_that_clients_may_name(environment: dict[str, str], models: tuple[str, ...]) -> None:
    settings = load_settings(environment)
    assert settings.allowed_models == models
    assert settings.openai_model in models


@pytest.mark.parametrize(
    ("text", "aliases"),
    [
        ("", {"gpt-image-1": None, "dall-e-2": None, "dall-e-3": None}),
        ("none", {}),
        ("gpt-image-1 = gpt-image-2, old", {"gpt-image-1": "gpt-image-2", "old": None}),
        ("gpt-image-2=gpt-image-2", {"gpt-image-2": "gpt-image-2"}),
    ],
)
def test_the_aliases_of_models(text: str, aliases: dict[str, str | None]) -> None:
    assert load_settings({"PIXYPROXY_OPENAI_ALIASES": text}).model_aliases == aliases


def test_aliases_may_lead_to_any_model_where_requests_may_name_any_and_never_to_aliases() -> None:
    any_model = {"PIXYPROXY_OPENAI_ALLOW_ANY": "true"}
    assert load_settings({**any_model, "PIXYPROXY_OPENAI_ALIASES": "a=flux"}).model_aliases == {"a": "flux"}
    (problem,) = problems_of({**any_model, "PIXYPROXY_OPENAI_ALIASES": "a=b,b=c"})
    assert problem == "PIXYPROXY_OPENAI_ALIASES must lead to models; b is an alias."


def test_a_default_model_that_is_not_listed_is_named() -> None:
    (problem,) = problems_of({"PIXYPROXY_OPENAI_MODELS": "gpt-image-1.5"})
    assert problem.startswith("PIXYPROXY_OPENAI_MODELS must list the default model, gpt-image-2;")


def test_origins_of_pictures_stand_between_commas_or_spaces() -> None:
    text = "https://images.example.com, http://10.0.0.5:9000 http://[::1]:8080/,http://minio"
    origins = ("https://images.example.com", "http://10.0.0.5:9000", "http://[::1]:8080/", "http://minio")
    assert load_settings({"PIXYPROXY_OPENAI_ANSWER_ORIGINS": text}).answer_origins == origins
    assert load_settings({"PIXYPROXY_REFERENCE_ORIGINS": text}).picture_origins == origins
    assert load_settings({}).answer_origins == load_settings({}).picture_origins == ()


@pytest.mark.parametrize("output_format", ["jpeg", "gif", "svg"])
def test_a_transparent_background_is_a_contradiction_to_most_formats(output_format: str) -> None:
    environment = {"PIXYPROXY_OPENAI_BACKGROUND": "transparent", "PIXYPROXY_OPENAI_OUTPUT_FORMAT": output_format}
    [problem] = problems_of(environment)
    assert "transparent" in problem


def test_all_problems_are_listed_at_once() -> None:
    problems = problems_of(
        {
            "PIXYPROXY_PORT": "http",
            "PIXYPROXY_WORKERS": "none",
            "PIXYPROXY_LOG_FORMT": "json",
            "PIXYPROXY_DATABASE_URL": "oracle://",
            "PIXYPROXY_CONTENT_URL": "s3://",
            "PIXYPROXY_GENERATOR": "openai",
        }
    )
    assert [problem.split()[0].rstrip(":") for problem in problems] == [
        "PIXYPROXY_PORT",
        "PIXYPROXY_WORKERS",
        "PIXYPROXY_LOG_FORMT",
        "PIXYPROXY_DATABASE_URL",
        "PIXYPROXY_CONTENT_URL",
        "PIXYPROXY_GENERATOR",
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PIXYPROXY_WORKER", "PIXYPROXY_WORKERS"),
        ("PIXYPROXY_DATABSE_URL", "PIXYPROXY_DATABASE_URL"),
        ("PIXYPROXY_LOGFORMAT", "PIXYPROXY_LOG_FORMAT"),
        ("PIXYPROXY_OPENAI_API_KEY", "OPENAI_API_KEY"),
        ("PIXYPROXY_OPENAI_BASEURL", "OPENAI_BASE_URL"),
    ],
)
def test_a_misspelt_name_is_a_problem_that_suggests_the_right_one(name: str, meant: str) -> None:
    assert problems_of({name: KEY}) == [f"{name} is not a setting; did you mean {meant}?"]


def test_variables_that_kubernetes_sets_for_a_service_of_this_name_are_ignored() -> None:
    environment = {
        "PIXYPROXY_SERVICE_HOST": "10.0.0.11",
        "PIXYPROXY_SERVICE_PORT": "8000",
        "PIXYPROXY_SERVICE_PORT_HTTP": "8000",
        "PIXYPROXY_PORT": "tcp://10.0.0.11:8000",
        "PIXYPROXY_PORT_8000_TCP": "tcp://10.0.0.11:8000",
        "PIXYPROXY_PORT_8000_TCP_PROTO": "tcp",
        "PIXYPROXY_PORT_8000_TCP_PORT": "8000",
        "PIXYPROXY_PORT_8000_TCP_ADDR": "10.0.0.11",
    }
    assert load_settings(environment) == Settings()


def test_the_address_of_the_tests_own_server_is_no_mistake() -> None:
    assert load_settings({"PIXYPROXY_TEST_MYSQL_URL": "mysql://root@localhost/"}) == Settings()


def test_limits_are_named_by_a_digest_of_the_key() -> None:
    names = {Settings(openai_api_key=key).limit_name for key in (KEY, KEY, "sk-other")}
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in names)
    assert len(names) == 2
    assert Settings().limit_name == "sketch"


@pytest.mark.parametrize(
    ("generator", "key", "kind"),
    [
        ("auto", "", GeneratorKind.SKETCH),
        ("auto", KEY, GeneratorKind.OPENAI),
        ("sketch", KEY, GeneratorKind.SKETCH),
        ("openai", KEY, GeneratorKind.OPENAI),
    ],
)
def test_a_key_decides_who_draws_unless_it_is_said(generator: str, key: str, kind: GeneratorKind) -> None:
    settings = load_settings({"PIXYPROXY_GENERATOR": generator, "OPENAI_API_KEY": key})
    assert settings.generator_kind is kind


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///data/x.db", "data/x.db"),
        ("sqlite:////srv/x.db", "/srv/x.db"),
        ("sqlite:///a%20b%23.db", "a b#.db"),
        ("sqlite:///x.db", "x.db"),
    ],
)
def test_a_database_url_names_a_file_and_a_fourth_slash_makes_it_absolute(url: str, path: str) -> None:
    assert load_settings({"PIXYPROXY_DATABASE_URL": url}).database_path == path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:data/images", "data/images"),
        ("file:/srv/x", "/srv/x"),
        ("file:a%20b%3F", "a b?"),
        ("file:///srv/x", "/srv/x"),
    ],
)
def test_a_content_url_names_a_folder(url: str, path: str) -> None:
    assert load_settings({"PIXYPROXY_CONTENT_URL": url}).content_path == path


def test_a_content_url_may_name_a_bucket_instead() -> None:
    settings = load_settings({"PIXYPROXY_CONTENT_URL": "s3://pictures/pixy?endpoint=https://s3.example.org"})
    assert settings.content_kind is ContentKind.S3
    assert settings.content_bucket == S3URL(bucket="pictures", prefix="pixy/", endpoint="https://s3.example.org")


def test_files_can_be_sent_by_the_web_server_only_where_there_are_files() -> None:
    with pytest.raises(SettingsError, match="PIXYPROXY_CONTENT_OFFLOAD goes with content in files"):
        load_settings({"PIXYPROXY_CONTENT_URL": "s3://pictures", "PIXYPROXY_CONTENT_OFFLOAD": "x-accel:/internal/"})


@pytest.mark.parametrize("scheme", ["mysql", "mysql+asyncmy"])
def test_a_mysql_url_chooses_mysql(scheme: str) -> None:
    settings = load_settings({"PIXYPROXY_DATABASE_URL": f"{scheme}://u:p@h:3306/d?unix_socket=/run/x.sock"})
    assert settings.database_kind is DatabaseKind.MYSQL


@pytest.mark.parametrize(
    ("sizes", "sides"),
    [("", {64, 128, 256, 512, 1024}), ("100", {100}), ("300 , 200,300", {200, 300}), ("any", None)],
)
def test_sizes_are_numbers_between_commas_or_any(sizes: str, sides: set[int] | None) -> None:
    assert load_settings({"PIXYPROXY_VARIANT_SIZES": sizes}).variant_sides == sides


@pytest.mark.parametrize(
    ("keys", "secrets"),
    [
        ("", ()),
        (LINK_KEY, (LINK_KEY.encode(),)),
        (f"{LINK_KEY[::-1]} ,\t{LINK_KEY}", (LINK_KEY[::-1].encode(), LINK_KEY.encode())),
    ],
)
def test_keys_of_links_keep_their_order(keys: str, secrets: tuple[bytes, ...]) -> None:
    assert load_settings({"PIXYPROXY_LINK_KEYS": keys}).link_secrets == secrets


@pytest.mark.parametrize(
    ("offload", "path"), [("", None), ("x-accel:/internal/", "/internal/"), ("x-accel:/a/b.c/", "/a/b.c/")]
)
def test_an_offload_names_the_path_of_the_web_server(offload: str, path: str | None) -> None:
    assert load_settings({"PIXYPROXY_CONTENT_OFFLOAD": offload}).offload_path == path


S3_URL = "s3://bucket/prefix?endpoint=http://10.0.0.5:8333"
PUBLIC_S3_URL = f"{S3_URL}&public_endpoint=https://files.example.org"
S3_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.mark.parametrize(
    ("url", "delivery", "kind", "path"),
    [
        ("file:data/images", "", DeliveryKind.PROXY, ""),
        (S3_URL, "proxy", DeliveryKind.PROXY, ""),
        (S3_URL, "x-accel:/s3/", DeliveryKind.X_ACCEL, "/s3/"),
        (S3_URL, "x-accel:/a/b.c/", DeliveryKind.X_ACCEL, "/a/b.c/"),
        (PUBLIC_S3_URL, "redirect", DeliveryKind.REDIRECT, ""),
    ],
)
def test_a_delivery_names_its_kind_and_the_path_of_the_web_server(
    url: str, delivery: str, kind: DeliveryKind, path: str
) -> None:
    settings = load_settings({"PIXYPROXY_CONTENT_URL": url, "PIXYPROXY_CONTENT_DELIVERY": delivery, **S3_CREDENTIALS})
    assert (settings.delivery_kind, settings.delivery_path) == (kind, path)


def test_clients_are_redirected_to_a_public_endpoint_alone() -> None:
    redirect = {"PIXYPROXY_CONTENT_DELIVERY": "redirect", **S3_CREDENTIALS}
    [problem] = problems_of({"PIXYPROXY_CONTENT_URL": S3_URL, **redirect})
    assert "public_endpoint" in problem
    private = {"PIXYPROXY_CONTENT_URL": PUBLIC_S3_URL, "PIXYPROXY_REDIRECT_PRIVATE": "true"}
    assert load_settings({**private, **redirect}).redirect_private
    [problem] = problems_of(private)
    assert problem.startswith("PIXYPROXY_REDIRECT_PRIVATE")


@pytest.mark.parametrize("name", S3_CREDENTIALS)
@pytest.mark.parametrize("delivery", ["redirect", "x-accel:/s3/"])
def test_urls_are_signed_with_credentials_of_the_environment_alone(delivery: str, name: str) -> None:
    environment = {
        "PIXYPROXY_CONTENT_URL": PUBLIC_S3_URL,
        "PIXYPROXY_CONTENT_DELIVERY": delivery,
        **S3_CREDENTIALS,
        name: "",
    }
    [problem] = problems_of(environment)
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in problem
    assert load_settings({**environment, "PIXYPROXY_CONTENT_DELIVERY": "proxy"}).delivery_kind is DeliveryKind.PROXY


def test_secrets_are_in_no_text_of_the_settings() -> None:
    settings = load_settings(
        {
            "OPENAI_API_KEY": KEY,
            "PIXYPROXY_DATABASE_URL": f"mysql://u:{PASSWORD}@h/d",
            "PIXYPROXY_LINK_KEYS": LINK_KEY,
            "PIXYPROXY_PORT": "1",
        }
    )
    for text in (
        repr(settings),
        str(settings),
        f"{settings}",
        f"{settings!r}",
        repr([settings]),
        pretty_repr(settings),
    ):
        assert KEY not in text
        assert PASSWORD not in text
        assert LINK_KEY not in text


def test_a_bad_key_of_links_is_in_no_error() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"PIXYPROXY_LINK_KEYS": f"{LINK_KEY}, {PASSWORD}"})
    shown = "".join(traceback.format_exception(caught.value))
    assert LINK_KEY not in shown
    assert PASSWORD not in shown


@pytest.mark.parametrize(
    "url",
    [
        f"oracle://u:{PASSWORD}@h/d",
        f"mysql://u:{PASSWORD}@h",
        f"mysql://u:[{PASSWORD}]@h/d",
        f"mysql://u:{PASSWORD}\u2100@h/d",
        f"sqlite://u:{PASSWORD}@h/d",
    ],
)
def test_secrets_are_in_no_error(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"OPENAI_API_KEY": KEY, "PIXYPROXY_DATABASE_URL": url, "PIXYPROXY_PORT": "http"})
    shown = "".join(traceback.format_exception(caught.value))
    assert len(caught.value.problems) == 2
    assert KEY not in shown
    assert PASSWORD not in shown


class TestExample:
    """`.env.example` names every setting, with its default."""

    def test_it_names_what_the_loader_reads_and_nothing_else(self) -> None:
        named = re.findall(r"^#?([A-Z][A-Z0-9_]*)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
        assert sorted(named) == sorted(environment_name(field) for field in Settings.__struct_fields__)

    def test_it_explains_each_setting_above_its_line(self) -> None:
        blocks = EXAMPLE.read_text(encoding="utf-8").strip().split("\n\n")[1:]
        assert len(blocks) == len(Settings.__struct_fields__)
        for block in blocks:
            *explanation, setting = block.split("\n")
            assert explanation
            assert all(re.match(r"# \S", line) for line in explanation), block
            assert re.match(r"#[A-Z]", setting), block

    def test_as_it_is_it_sets_nothing(self) -> None:
        assert load_settings(sourced(EXAMPLE)) == Settings()
        assert not set(sourced(EXAMPLE)) & {environment_name(field) for field in Settings.__struct_fields__}

    def test_with_every_line_in_effect_it_sets_the_defaults(self, tmp_path: Path) -> None:
        every_line = tmp_path / ".env"
        every_line.write_text(
            re.sub(r"^#([A-Z])", r"\1", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8"
        )
        environment = sourced(every_line)
        assert {environment_name(field) for field in Settings.__struct_fields__} <= set(environment)
        assert load_settings(environment) == Settings()
        for field in Settings.__struct_fields__:
            assert bool(environment[environment_name(field)]) == (getattr(Settings(), field) is not None), field


def sourced(file: Path) -> dict[str, str]:
    """Return the environment of a shell that has read `file` the way the file itself says."""
    shell = subprocess.run(
        ["/bin/sh", "-c", 'set -a; . "$1"; set +a; env -0', "sh", str(file)],
        env={"PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert shell.stderr == ""
    return dict(line.split("=", 1) for line in shell.stdout.split("\0") if line)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PIXYPROXY_PUBLIC_URL", "example.org"),
        ("PIXYPROXY_PUBLIC_URL", "https://ann:hunter2secret@example.org"),
        ("PIXYPROXY_PUBLIC_URL", "https://example.org/image"),
        ("PIXYPROXY_ALLOWED_HOSTS", "https://example.org"),
        ("PIXYPROXY_ALLOWED_HOSTS", "example.org:8000"),
        ("PIXYPROXY_ALLOWED_HOSTS", "a.example b.example"),
        ("PIXYPROXY_ALLOWED_HOSTS", "a.*.example"),
        ("PIXYPROXY_CORS_ORIGINS", "*"),
        ("PIXYPROXY_CORS_ORIGINS", "app.example"),
        ("PIXYPROXY_CORS_ORIGINS", "https://app.example/path"),
        ("PIXYPROXY_CORS_ORIGINS", "https://*.app.example"),
        ("PIXYPROXY_CORS_ORIGINS", "null"),
    ],
)
def test_addresses_that_can_not_work_are_refused(name: str, text: str) -> None:
    (problem,) = problems_of({name: text})
    assert problem.startswith(f"{name} ")
    assert PASSWORD not in problem


def test_origins_are_known_as_browsers_write_them() -> None:
    settings = load_settings({"PIXYPROXY_CORS_ORIGINS": "HTTPS://App.example:443/, http://b:80,http://c:3000"})
    assert settings.allowed_origins == ("https://app.example", "http://b", "http://c:3000")


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("PIXYPROXY_GENERATOR", "dall-e", "one of auto, openai, sketch"),
        ("PIXYPROXY_LOG_FORMAT", "xml", "one of console, json"),
        ("PIXYPROXY_OPENAI_OUTPUT_FORMAT", "tiff", "one of png, jpeg, webp, gif, svg"),
        ("PIXYPROXY_OPENAI_BACKGROUND", "blue", "one of auto, opaque, transparent"),
        ("PIXYPROXY_ANONYMOUS_CREATE", "maybe", "true or false"),
        ("PIXYPROXY_PORT", "http", "a whole number, at least 1 and at most 65,535"),
        ("PIXYPROXY_PORT", "80.5", "a whole number, at least 1 and at most 65,535"),
        ("PIXYPROXY_WORKERS", "0", "a whole number, at least 1"),
        ("PIXYPROXY_OPENAI_TIMEOUT", "soon", "a number, more than 0 and at most 86,400"),
        ("PIXYPROXY_OPENAI_TIMEOUT", "nan", "a number, more than 0 and at most 86,400"),
        ("PIXYPROXY_PATIENCE", "inf", "a number, at least 0 and at most 86,400"),
        ("PIXYPROXY_OPENAI_MODEL", "m" * 256, "1 to 255 characters"),
        ("PIXYPROXY_OPENAI_SIZE", "s" * 256, "1 to 255 characters"),
    ],
)
def test_an_invalid_value_is_answered_with_the_allowed_ones(name: str, text: str, allowed: str) -> None:
    assert problems_of({name: text}) == [f"{name} must be {allowed}."]


def test_every_setting_says_what_is_allowed() -> None:
    for field in msgspec.structs.fields(Settings):
        if field.type not in {str, str | None}:
            problems = problems_of({environment_name(field.name): "\x01" * 300})
            assert any(problem.startswith(f"{environment_name(field.name)} must be ") for problem in problems)
            assert not any("`" in problem for problem in problems)


@pytest.mark.parametrize("mark", ['"', "'"])
@pytest.mark.parametrize(
    ("name", "text"),
    [("OPENAI_API_KEY", KEY), ("PIXYPROXY_PORT", "8000"), ("PIXYPROXY_DATABASE_URL", "sqlite:///x.db")],
)
def test_quotation_marks_around_a_value_are_refused(name: str, text: str, mark: str) -> None:
    (problem,) = problems_of({name: f"{mark}{text}{mark}"})
    assert problem.startswith(f"{name} is in quotation marks")
    assert KEY not in problem


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PIXYPROXY_DATABASE_URL", "sqlite:///~/pixyproxy.db"),
        ("PIXYPROXY_DATABASE_URL", "sqlite:///~ann/pixyproxy.db"),
        ("PIXYPROXY_CONTENT_URL", "file:~/images"),
        ("PIXYPROXY_CONTENT_URL", "file:%7E/images"),
        ("PIXYPROXY_DATABASE_URL", "sqlite:///$HOME/pixyproxy.db"),
        ("PIXYPROXY_DATABASE_URL", "sqlite:////~/pixyproxy.db"),
        ("PIXYPROXY_CONTENT_URL", "file:${HOME}/images"),
        ("PIXYPROXY_CONTENT_URL", "file:///$HOME/images"),
    ],
)
def test_a_home_that_no_shell_has_replaced_is_refused(name: str, text: str) -> None:
    (problem,) = problems_of({name: text})
    assert problem.startswith(f"{name} starts with ~")
