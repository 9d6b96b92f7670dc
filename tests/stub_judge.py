"""A local server that answers like an OpenAI-compatible endpoint: the judge of the tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Stub:
    """Prefers the longer text, the first of two as long; fails as it is told to."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.failures: list[int] = []
        self.headers: list[str | None] = []
        self.answer: str | None = None
        self.fail_after: int | None = None
        self.lock = threading.Lock()

    def reply(self, body: dict[str, Any], key: str | None) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.requests.append(body)
            self.headers.append(key)
            if self.failures:
                return self.failures.pop(), {"error": {"message": "not now"}}
            if self.fail_after is not None and len(self.requests) > self.fail_after:
                return 401, {"error": {"message": "no credit"}}
        shown = body["messages"][1]["content"]
        first, second = shown.removeprefix("Text A:\n\n").split("\n\n---\n\n")[:2]
        second = second.removeprefix("Text B:\n\n")
        said = self.answer or ("A." if len(first) >= len(second) else "**B**")
        return 200, {"choices": [{"message": {"content": said}}]}


@contextmanager
def serving(stub: Stub) -> Iterator[str]:
    """The base URL under which the stub answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/chat/completions"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, content = stub.reply(body, self.headers.get("Authorization"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
