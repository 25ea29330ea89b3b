"""The URL of a MySQL database."""

import ssl
from collections.abc import Sequence
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.adapters.mysql import url
from pixyproxy.adapters.mysql.url import Host, driver_of, hosts_of, parse_url

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True)
HOSTS = st.builds(Host, NAMES | st.ip_addresses(v=6).map(str), st.integers(min_value=1, max_value=65_535))


def test_every_part_of_a_url_is_understood() -> None:
    assert parse_url("mysql://ann:secret@db.example:3307/pixy") == {
        "host": "db.example",
        "port": 3307,
        "unix_socket": None,
        "user": "ann",
        "password": "secret",
        "db": "pixy",
    }


def test_the_port_and_the_password_may_be_left_out() -> None:
    options = parse_url("mysql://ann@db.example/pixy")
    assert (options["port"], options["password"]) == (3306, "")


def test_a_url_may_select_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    assert driver_of("mysql://ann@h/pixy") == "aiomysql"
    assert driver_of("mysql+asyncmy://ann@h/pixy") == "asyncmy"
    assert parse_url("mysql+asyncmy://ann@h/pixy") == parse_url("mysql://ann@h/pixy")
    monkeypatch.setattr(url, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install 'pixyproxy\[asyncmy\]'"):
        parse_url("mysql+asyncmy://ann@h/pixy")


def test_a_unix_socket_stands_in_for_the_host() -> None:
    assert parse_url("mysql://ann@/pixy?unix_socket=/run/a%20b.sock")["unix_socket"] == "/run/a b.sock"


def test_an_ipv6_address_is_a_host() -> None:
    assert parse_url("mysql://ann@[::1]:3307/pixy")["host"] == "::1"


@pytest.mark.parametrize("scheme", ["mysql", "mysql+asyncmy"])
def test_several_hosts_keep_their_order(scheme: str) -> None:
    several = f"{scheme}://ann:se,cret@b.example:3307,a.example,[::1]:3308/pixy"
    assert hosts_of(several) == [Host("b.example", 3307), Host("a.example", 3306), Host("::1", 3308)]
    options = parse_url(several)
    assert (options["host"], options["port"], options["password"]) == ("b.example", 3307, "se,cret")
    assert list(map(str, hosts_of(several))) == ["b.example:3307", "a.example:3306", "[::1]:3308"]


def test_a_unix_socket_is_no_host() -> None:
    assert hosts_of("mysql://ann@/pixy?unix_socket=/s") == ()


@given(
    hosts=st.lists(HOSTS, min_size=1, max_size=5, unique=True),
    user=st.text(st.characters(codec="utf-8"), min_size=1),
    password=st.text(st.characters(codec="utf-8")),
    database=NAMES,
)
def test_whatever_is_encoded_is_read_again(hosts: Sequence[Host], user: str, password: str, database: str) -> None:
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    made = f"mysql://{login}@{','.join(map(str, hosts))}/{database}"
    assert hosts_of(made) == hosts
    options = parse_url(made)
    assert (options["user"], options["password"].encode("latin-1").decode(), options["db"]) == (
        user,
        password,
        database,
    )


@given(text=st.text(st.sampled_from("a1:@,/?#[]%é℀\n ")), driver=st.sampled_from(["", "+asyncmy"]))
def test_any_text_is_read_or_refused_without_being_quoted(text: str, driver: str) -> None:
    made = f"mysql{driver}://ann:hunter2{text}"
    try:
        options = parse_url(made)
    except ValueError as exc:
        assert "hunter2" not in str(exc)  # noqa: PT017 -- most texts are refused, not all
    else:
        assert options["host"]
        assert 0 < options["port"] < 65_536
        assert hosts_of(made)


def test_parts_are_percent_decoded() -> None:
    options = parse_url("mysql://a%40nn:p%3A%2F%3F%23%25+@host/p%20xy")
    assert (options["user"], options["password"], options["db"]) == ("a@nn", "p:/?#%+", "p xy")


def test_the_driver_sends_a_password_to_the_server_in_utf_8() -> None:
    assert parse_url("mysql://ann:%F0%9F%98%80@host/pixy")["password"].encode("latin-1").decode() == "😀"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "must begin with mysql://"),
        ("sqlite:///pixy.db", "must begin with mysql://"),
        ("mysql+aiomysql://ann:hunter2@host/pixy", "must begin with mysql://"),
        ("mysql://host/pixy", "names no user"),
        ("mysql://:hunter2@host/pixy", "names no user"),
        ("mysql://ann:hunter2@host", "must name one database"),
        ("mysql://ann:hunter2@host/", "must name one database"),
        ("mysql://ann:hunter2@host/pixy/more", "must name one database"),
        ("mysql://ann:hunter2@/pixy", "neither a host nor a unix_socket"),
        ("mysql://ann:hunter2@host:port/pixy", "can't be read"),
        ("mysql://ann:hunter2@host:99999/pixy", "can't be read"),
        ("mysql://ann:hunt/er2@host/pixy", "can't be read"),
        ("mysql://ann:hunter2?@host/pixy", "can't be read"),
        ("mysql://ann:hunter2@ho\u2100st/pixy", "can't be read"),
        ("mysql://ann:hunter2@[host/pixy", "can't be read"),
        ("mysql://ann:hunter2@[host]/pixy", "can't be read"),
        ("mysql://ann:hunter2@host:0/pixy", "can't be read"),
        ("mysql://ann:[hunter2]@host/pixy", "can't be read"),
        ("mysql://ann:hunter2@ho%2Cst/pixy", "can't be read"),
        ("mysql://ann:hunter2@::1/pixy", "IPv6 address without brackets"),
        ("mysql://ann:hunter2@a:1,::1:3306/pixy", "IPv6 address without brackets"),
        ("mysql://ann:hunter2@a:1,b:port/pixy", "can't be read"),
        ("mysql://ann:hunter2@a:1,,b:2/pixy", "names an empty host"),
        ("mysql://ann:hunter2@a:1,/pixy", "names an empty host"),
        ("mysql://ann:hunter2@,/pixy", "names an empty host"),
        ("mysql://ann:hunter2@a,A:3306/pixy", "names a host twice"),
        ("mysql://ann:hunter2@a,b/pixy?unix_socket=/s", "unix_socket beside several hosts"),
        ("mysql://ann:hunter2#@host/pixy", "can't be read"),
        ("mysql://ann:hunter2@host/pixy#hunter2", "has a fragment"),
        ("mysql://ann:hunter2@host/pixy?unix_socket=/s&pool=3", "not known: pool"),
        ("mysql://ann:hunter2@host/pixy?unix_socket=/s&hunter2", "can't be read"),
    ],
)
def test_a_malformed_url_is_refused_without_its_password(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        parse_url(url)
    assert "hunt" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_tls_is_as_strict_as_the_url_says() -> None:
    assert "ssl" not in parse_url("mysql://ann@host/pixy")
    required, ca, identity = (
        parse_url(f"mysql://ann@host/pixy?tls={tls}")["ssl"] for tls in ("required", "verify-ca", "verify-identity")
    )
    assert (required.verify_mode, required.check_hostname) == (ssl.CERT_NONE, False)
    assert (ca.verify_mode, ca.check_hostname) == (ssl.CERT_REQUIRED, False)
    assert (identity.verify_mode, identity.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("tls=yes", "must be one of required, verify-ca, verify-identity"),
        ("tls=", "must be one of"),
        ("ssl_ca=", "names no file"),
        ("ssl_ca=/no/such/file.pem", r"ssl_ca /no/such/file.pem can't be used: No such file or directory"),
        ("ssl_ca=/dev/null", "ssl_ca /dev/null can't be used: it has no certificate"),
        ("ssl_ca=/", "ssl_ca / can't be used"),
        ("tls=required&ssl_ca=/dev/null", "goes with tls=verify-ca"),
        ("tls=required&unix_socket=/run/a", "names a unix_socket"),
        ("ssl_ca=/dev/null&unix_socket=/run/a", "names a unix_socket"),
    ],
)
def test_tls_that_can_not_work_is_refused(options: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_url(f"mysql://ann:hunter2@host/pixy?{options}")
    assert "hunter2" not in str(caught.value)
