"""Another site, whose pages try to use the gallery of their visitors."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class OtherSite:
    """A web server that serves `pages`; `url` is its address at another site, and `sibling_url` at the same site."""

    def __init__(self, port: int) -> None:
        self.pages: dict[str, str] = {}
        # A site is a host name, whatever the port.
        self.url = f"http://localhost:{port}"
        self.sibling_url = f"http://127.0.0.1:{port}"

    def add(self, name: str, body: str) -> str:
        """Serve a page of this body, and return its path."""
        self.pages[f"/{name}"] = f'<!DOCTYPE html><link rel="icon" href="data:,"><title>{name}</title>{body}'
        return f"/{name}"


@contextmanager
def running_other_site() -> Iterator[OtherSite]:
    """Serve another site on the loopback interface."""
    pages: Mapping[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path, "").encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = OtherSite(server.server_address[1])
        pages = site.pages
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield site
        server.shutdown()
