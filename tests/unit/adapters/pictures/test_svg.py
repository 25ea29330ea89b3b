import contextlib
import math
import socket
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pixyproxy.adapters.pictures import svg
from pixyproxy.adapters.pictures.picture import MAX_PIXELS, UnreadablePictureError
from pixyproxy.adapters.pictures.svg import inspect_svg
from pixyproxy.domain.content import MediaType
from tests.doubles.hostile_svg import hostile_svg

NAMESPACE = "http://www.w3.org/2000/svg"
PUBLIC = '"-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd"'


def drawing(inside: str = "", **attributes: str) -> bytes:
    text = "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items())
    return f'<svg xmlns="{NAMESPACE}"{text}>{inside}</svg>'.encode()


def size(**attributes: str) -> tuple[int, int]:
    found = inspect_svg(drawing(**attributes))
    return found.width, found.height


WHOLE = drawing('<g id="a"><path d="M0 0h1"/>é &lt; &#233; <![CDATA[<]]></g><!-- b --><?c d?>', width="12", height="7")


@pytest.mark.parametrize(
    "data",
    [
        WHOLE,
        b"<?xml version='1.0'?><!-- a --><?b c?>" + WHOLE + b"<!-- d -->\n",
        f"<!DOCTYPE svg PUBLIC {PUBLIC}>".encode() + WHOLE,
        f'<s:svg xmlns:s="{NAMESPACE}" width="12" height="7"><s:g/></s:svg>'.encode(),
        f'<svg xmlns="{NAMESPACE}" xmlns:a="two words" a:width="1" width="12" height="7"><a:b/></svg>'.encode(),
    ],
)
def test_a_well_formed_document_with_the_root_of_svg_is_an_svg(data: bytes) -> None:
    found = inspect_svg(data)

    assert (found.media_type, found.width, found.height) == (MediaType.SVG, 12, 7)


def test_an_svg_that_lacks_as_little_as_its_last_byte_is_unreadable() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(UnreadablePictureError):
            inspect_svg(WHOLE[:length])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<svg/>", "no svg in SVG's namespace"),
        (b'<svg xmlns="http://www.w3.org/2000/svg/"/>', "no svg in SVG's namespace"),
        (f'<g xmlns="{NAMESPACE}"><svg/></g>'.encode(), "no svg in SVG's namespace"),
        (f'<html><svg xmlns="{NAMESPACE}"/></html>'.encode(), "no svg in SVG's namespace"),
        (f'<svg xmlns:s="{NAMESPACE}"/>'.encode(), "no svg in SVG's namespace"),
        (b"\n<?xml version='1.0'?>" + WHOLE, "markup, but no SVG"),
        (b"<s:svg/>", "markup, but no SVG"),
        (b"<?xml version='1.0' encoding='nonsense'?>" + drawing().replace(b"></", b">\xff</"), "damaged"),
        (b"<?xml version='1.0' encoding='euc-jp'?>" + drawing().replace(b"></", b">\xff</"), "not in the encoding"),
        (drawing("<g>"), "damaged or incomplete .mismatched tag"),
        (drawing("&nbsp;"), "damaged or incomplete .undefined entity"),
        (drawing("<a:b/>"), "damaged or incomplete .unbound prefix"),
        (drawing("<a b='' b=''/>"), "damaged or incomplete .duplicate attribute"),
        (drawing("\f"), "damaged or incomplete"),
        (drawing("\0"), "damaged or incomplete"),
        (drawing().replace(b"></", b">\xff</"), "damaged or incomplete"),
        (drawing() + drawing(), "damaged or incomplete .junk"),
        (drawing() + b"\0", "damaged or incomplete"),
    ],
)
def test_anything_else_is_unreadable_and_the_error_says_why(data: bytes, words: str) -> None:
    with pytest.raises(UnreadablePictureError, match=words):
        inspect_svg(data)


LAUGHS = "".join(f'<!ENTITY l{number} "{f"&l{number - 1};" * 10}">' for number in range(1, 30))


@pytest.mark.parametrize(
    ("declarations", "words"),
    [
        (f'[<!ENTITY l0 "ha">{LAUGHS}]', "entities that refer to something else"),
        ('[<!ENTITY a SYSTEM "file:///etc/passwd">]', "entities that refer to something else"),
        ('[<!ENTITY % a SYSTEM "http://127.0.0.1:9/a.dtd"> %a;]', "entities that refer to something else"),
        ("[<!ENTITY % a ''>]", "entities that refer to something else"),
        (f"[<!ENTITY a '{'b' * 8_400_000}'>]", "more than 16 MiB"),
        (f"[<!ATTLIST g a CDATA '{'b' * 170_000}'>]", "more than 16 MiB"),
        (f"[<!ATTLIST g {' '.join(f'a{number} CDATA #IMPLIED' for number in range(60_000))}>]", "more than 16 MiB"),
    ],
)
def test_a_document_whose_declarations_could_make_it_large_is_refused(declarations: str, words: str) -> None:
    data = f"<!DOCTYPE svg {declarations}>".encode() + drawing("&a;&a;" + "<g/>" * 100)

    with pytest.raises(UnreadablePictureError, match=words):
        inspect_svg(data)


@pytest.mark.parametrize(
    "declarations",
    [
        '[<!ENTITY a "b">]',
        f"PUBLIC {PUBLIC} [<!ENTITY a 'b'>]",
        f"[<!ENTITY a '<path/>'><!ATTLIST g a CDATA '{'b' * 1_000}'><!ELEMENT g ANY><!NOTATION n SYSTEM 'x'>]",
        "[<!ENTITY a '&#60;g/>'>]",
    ],
)
def test_a_document_may_declare_what_stays_small(declarations: str) -> None:
    data = f"<!DOCTYPE svg {declarations}>".encode() + drawing("&a;&a;" + "<g/>" * 100, width="12", height="7")

    found = inspect_svg(data)

    assert (found.width, found.height) == (12, 7)


def test_entities_and_attributes_of_its_own_are_those_of_the_root_too() -> None:
    entities = f'<!DOCTYPE svg [<!ENTITY ns "{NAMESPACE}"><!ENTITY w "12">]><svg xmlns="&ns;" width="&w;" height="7"/>'
    attributes = f'<!DOCTYPE svg [<!ATTLIST svg xmlns CDATA #FIXED "{NAMESPACE}" width CDATA "12">]><svg height="7"/>'
    for text in (entities, attributes):
        found = inspect_svg(text.encode())
        assert (found.width, found.height) == (12, 7)


@pytest.mark.parametrize(
    "encoding", ["iso-8859-2", "ISO-8859-15", "windows-1251", "koi8-r", "shift_jis", "euc-jp", "gbk", "big5", "latin1"]
)
def test_an_svg_may_be_in_any_encoding_that_browsers_know(encoding: str) -> None:
    text = "\u0416\u0434" if encoding not in {"iso-8859-2", "ISO-8859-15", "latin1"} else "\u00e9"
    document = f"<?xml version='1.0' encoding='{encoding}'?>{drawing(text, width='12', height='7').decode()}"

    assert inspect_svg(document.encode(encoding)).width == 12


@pytest.mark.parametrize(
    "declaration",
    [
        "<?xml version='1.0' encoding='utf-16'?>",
        "<?xml version='1.0' encoding='rot13'?>",
        "<?xml version='1.0' encoding='nonsense'?>",
        "<?xml version='1.0' encoding='utf8' standalone='no' ?>\n",
        "<?xml version='1.1'?>",
        "\ufeff<?xml version='1.0' encoding='koi8-r'?>",
    ],
)
def test_a_declaration_that_is_wrong_does_no_harm(declaration: str) -> None:
    assert inspect_svg(declaration.encode() + drawing("\u0416", width="12")).width == 12


def test_an_entity_that_is_declared_elsewhere_is_not_known() -> None:
    with pytest.raises(UnreadablePictureError, match="undefined entity nbsp"):
        inspect_svg(f"<!DOCTYPE svg PUBLIC {PUBLIC}>".encode() + drawing("<text>&nbsp;</text>"))


def test_nothing_that_an_svg_refers_to_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    declaration = b'<!DOCTYPE svg SYSTEM "file:///etc/passwd"><svg '
    found = inspect_svg(hostile_svg("http://127.0.0.1:9").replace(b"<svg ", declaration, 1))

    assert (found.width, found.height) == (320, 200)


def test_an_svg_may_be_nested_a_thousand_deep_and_no_deeper() -> None:
    inspect_svg(drawing("<g>" * 999 + "</g>" * 999 + "<g/>" * 2_000))
    with pytest.raises(UnreadablePictureError, match="nested more than 1,000 deep"):
        inspect_svg(drawing("<g>" * 1_000 + "</g>" * 1_000))


def test_an_svg_may_have_16_mib_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert svg.MAX_BYTE_SIZE == 16 << 20
    monkeypatch.setattr(svg, "MAX_BYTE_SIZE", len(WHOLE))
    inspect_svg(WHOLE)
    with pytest.raises(UnreadablePictureError, match="more than 0 MiB"):
        inspect_svg(WHOLE + b"\n")


@pytest.mark.parametrize("piece", [1, 2, 3, 50])
def test_it_does_not_matter_where_the_pieces_end(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(svg, "_PIECE", piece)

    assert (inspect_svg(WHOLE).width, inspect_svg(WHOLE).height) == (12, 7)
    with pytest.raises(UnreadablePictureError, match="damaged"):
        inspect_svg(WHOLE[:-1])


@pytest.mark.parametrize(
    ("length", "pixels"),
    [
        ("12", 12),
        (" 12 ", 12),
        ("+12", 12),
        ("12.4", 12),
        ("12.6", 13),
        (".6", 1),
        ("0", 1),
        ("0.01", 1),
        ("1.2e1", 12),
        ("120E-1PX", 12),
        ("12px", 12),
        ("12PX", 12),
        ("12pt", 16),
        ("2pc", 32),
        ("1in", 96),
        ("2.54cm", 96),
        ("25.4mm", 96),
        ("101.6q", 96),
        ("2em", 32),
        ("1e1em", 160),
        ("2ex", 16),
        ("2rem", 32),
        ("2ch", 16),
    ],
)
def test_a_length_in_any_unit_is_a_number_of_pixels(length: str, pixels: int) -> None:
    assert size(width=length, height="7") == (pixels, 7)
    assert size(width="7", height=length) == (7, pixels)


@pytest.mark.parametrize(
    "length",
    [
        *("", "auto", "100%", "50%", "-1", "-1px", "1.", "1 px", "1,5", "1px;", "10vw", "10vh", "calc(1px)", "NaN"),
        *("inf", "0x10", "\u0661\u0662", "1" * 600, "1e", "e1", "1_0"),
    ],
)
def test_a_length_that_is_none_or_depends_on_the_page_is_as_good_as_missing(length: str) -> None:
    assert size(width=length, height=length, viewBox="0 0 40 20") == (40, 20)
    assert size(width=length, height="10", viewBox="0 0 40 20") == (20, 10)
    assert size(width="10", height=length, viewBox="0 0 40 20") == (10, 5)
    assert size(width=length, height=length) == (300, 150)


def test_the_attributes_come_before_the_view_box_and_the_view_box_before_the_size_of_css() -> None:
    assert size(width="12", height="7", viewBox="0 0 40 20") == (12, 7)
    assert size(viewBox="0 0 40 20") == (40, 20)
    assert size() == (300, 150)


def test_a_missing_side_follows_from_the_other_and_the_view_box_or_is_that_of_css() -> None:
    assert size(width="10", viewBox="0 0 40 20") == (10, 5)
    assert size(height="10", viewBox="0 0 40 20") == (20, 10)
    assert size(width="10") == (10, 150)
    assert size(height="10") == (300, 10)


@pytest.mark.parametrize("box", ["0 0 40 20", "-5,-6.5,40,20", " 0\n0\t40 , 20 ", "1e1 .5 4E1 2e+1", "0,0 40 20.0"])
def test_a_view_box_has_four_numbers(box: str) -> None:
    assert size(viewBox=box) == (40, 20)


@pytest.mark.parametrize(
    "box",
    [
        *("", "0 0 40", "0 0 40 20 1", "0 0 0 20", "0 0 40 0", "0 0 -40 20", "0 0 40px 20px", "0 0 40 20%", "0,,40,20"),
        *("0 0 40 20,", "a b c d", "0 0 nan nan", "0 0 inf inf", "0 0 40 20" + "0" * 600),
    ],
)
def test_a_view_box_that_is_none_or_empty_is_as_good_as_missing(box: str) -> None:
    assert size(viewBox=box) == (300, 150)


def test_the_name_of_the_view_box_is_spelt_exactly() -> None:
    assert size(viewbox="0 0 40 20") == (300, 150)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"width": "8000", "height": "8000"}, (8_000, 8_000)),
        ({"width": "1e9", "height": "1e9"}, (8_000, 8_000)),
        ({"width": "32000", "height": "8000"}, (16_000, 4_000)),
        ({"width": "1e999", "height": "0"}, (MAX_PIXELS, 1)),
        ({"width": "0", "height": "1e999"}, (1, MAX_PIXELS)),
        ({"viewBox": "0 0 1e999 1e999"}, (8_000, 8_000)),
        ({"viewBox": "0 0 1e-999 1e999"}, (300, 150)),
        ({"width": "1e9", "viewBox": "0 0 1e-300 1e300"}, (1, MAX_PIXELS)),
    ],
)
def test_a_size_beyond_all_measure_becomes_the_largest_one_of_its_shape(
    attributes: dict[str, str], expected: tuple[int, int]
) -> None:
    assert size(**attributes) == expected


NUMBERS = st.floats().map(repr) | st.integers().map(str) | st.from_regex(r"[+-]?\d{0,5}\.?\d{0,5}(e[+-]?\d{1,4})?")
LENGTHS = st.builds("{}{}".format, NUMBERS, st.sampled_from(["", "px", "mm", "%", "vw", " "])) | st.text(max_size=10)
BOXES = st.lists(NUMBERS, min_size=3, max_size=5).map(" ".join) | st.text(max_size=30)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=30)


@settings(max_examples=300)
@given(
    width=st.none() | LENGTHS.filter(str.isprintable),
    height=st.none() | LENGTHS.filter(str.isprintable),
    box=st.none() | BOXES.filter(str.isprintable),
)
@example(width="1e308in", height="1e-308", box="0 0 1e-308 1e308")
def test_whatever_the_attributes_say_the_size_is_one_that_a_bitmap_may_have(
    width: str | None, height: str | None, box: str | None
) -> None:
    given_ = {"width": width, "height": height, "viewBox": box}
    sides = size(**{name: value for name, value in given_.items() if value is not None})

    assert min(sides) >= 1
    assert math.prod(sides) <= MAX_PIXELS


@given(width=st.floats(0.01, 5_000), height=st.floats(0.01, 5_000))
def test_the_view_box_alone_gives_the_size_that_the_attributes_would(width: float, height: float) -> None:
    assert size(viewBox=f"0 0 {width} {height}") == size(width=f"{width}", height=f"{height}px")


@given(text=TEXTS, encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_any_text_may_stand_in_an_svg(text: str, encoding: str) -> None:
    data = drawing(f"<text y={quoteattr(text)}>{quoteattr(text)}</text>", width="12", height="7")

    assert inspect_svg(data.decode().encode(encoding)).width == 12


@settings(max_examples=200, deadline=None)
@given(
    damage=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=20),
    encoding=st.sampled_from(["utf-8", "utf-16"]),
)
def test_damage_never_raises_anything_but_unreadable(damage: list[tuple[int, int]], encoding: str) -> None:
    whole = f"<?xml version='1.0' encoding='{encoding}'?><!DOCTYPE svg PUBLIC {PUBLIC}>{WHOLE.decode()}"
    damaged = bytearray(whole.encode(encoding))
    for position, value in damage:
        damaged[position % len(damaged)] = value
    with contextlib.suppress(UnreadablePictureError):
        inspect_svg(bytes(damaged))
