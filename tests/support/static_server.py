"""A web server for files, as `python3 -m http.server` is one."""

import functools
import http.server
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path


class _Server(http.server.ThreadingHTTPServer):
    """Knows which paths it is unavailable for the next time."""

    def __init__(self, directory: Path, unavailable: set[str]) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(directory)))
        self.unavailable = unavailable


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files without telling about it."""

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        if self.path in self.server.unavailable:
            self.server.unavailable.remove(self.path)
            self.send_response(HTTPStatus.SERVICE_UNAVAILABLE)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def static_server(directory: Path, *, unavailable_once: Collection[str] = ()) -> Iterator[str]:
    """Serve the files of `directory` and give the address. The first request of `unavailable_once` is answered 503."""
    server = _Server(directory, set(unavailable_once))
    thread = threading.Thread(target=server.serve_forever, name="static server")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
