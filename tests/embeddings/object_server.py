"""A stand-in for S3 and Google Cloud Storage on 127.0.0.1: the few requests that stores make.

Objects live in a dictionary. Whoever is not given the right key is refused; a bucket that was not
made is not there; conditions on writes are kept, so that no half-finished race goes unseen.
"""

import contextlib
import hashlib
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from xml.sax.saxutils import escape

KEY = "stand-in-key"


class ObjectServer(http.server.ThreadingHTTPServer):
    """Buckets by name, objects by key; counts its requests by method."""

    daemon_threads = True

    def __init__(self, bucket: str):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.buckets: dict[str, dict[str, bytes]] = {bucket: {}}
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Endpoint."""
        return f"http://127.0.0.1:{self.server_port}"

    def environment(self) -> dict[str, str]:
        """Variables that lead programs here."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": "any",
            "TENSORSTORE_GCS_HTTP_URL": self.url,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": KEY,
        }


@contextlib.contextmanager
def object_server(bucket: str = "bucket") -> Iterator[ObjectServer]:
    """A server that runs in a thread."""
    server = ObjectServer(bucket)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _handle(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.server.requests.append((self.command, self.path))
        if KEY not in self.headers.get("Authorization", ""):
            return self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        parts = path.strip("/").split("/")
        self.google = "storage" in parts[:2]
        if self.google:
            parts = parts[parts.index("b") + 1 :]
            bucket, key = parts[0], urllib.parse.unquote("/".join(parts[2:]))
            key = self.query.get("name", key)
        else:
            bucket, key = parts[0], urllib.parse.unquote(path.strip("/")[len(parts[0]) + 1 :])
        with self.server.lock:
            objects = self.server.buckets.get(bucket)
            if objects is None:
                return self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
            if self.command == "GET" and not key:
                return self._list(objects)
            return self._object(objects, key, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815

    def _object(self, objects, key, body):
        present = objects.get(key)
        if self.command in ("GET", "HEAD"):
            return self._read(present)
        if not self._condition(present):
            return self._answer(412)
        if self.command == "DELETE":
            objects.pop(key, None)
            return self._answer(204)
        objects[key] = body
        return self._answer(200, self._facts(key, body), tag=_tag(body))

    def _read(self, present):
        if present is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        tag = _tag(present)
        if self.headers.get("If-None-Match") == tag:
            return self._answer(304)
        if self.headers.get("If-Match") not in (None, tag):
            return self._answer(412)
        return self._answer(200, present, tag=tag)

    def _condition(self, present):
        """Whether an object may be written."""
        wanted = self.query.get("ifGenerationMatch")
        if wanted is not None:
            return int(wanted) == (_generation(present) if present is not None else 0)
        if self.headers.get("If-None-Match") == "*":
            return present is None
        match = self.headers.get("If-Match")
        return match is None or (present is not None and _tag(present) == match)

    def _facts(self, key, body):
        if not self.google:
            return b""
        return json.dumps(
            {"name": key, "size": str(len(body)), "generation": str(_generation(body))}
        ).encode()

    def _list(self, objects):
        first, end = self.query.get("startOffset", ""), self.query.get("endOffset", "\U0010ffff")
        prefix = self.query.get("prefix", "")
        names = sorted(n for n in objects if n.startswith(prefix) and first <= n < end)
        if self.google:
            facts = [
                {
                    "name": n,
                    "size": str(len(objects[n])),
                    "generation": str(_generation(objects[n])),
                }
                for n in names
            ]
            return self._answer(200, json.dumps({"items": facts}).encode())
        keys = "".join(
            f"<Contents><Key>{escape(n)}</Key><Size>{len(objects[n])}</Size>"
            f"<ETag>{_tag(objects[n])}</ETag></Contents>"
            for n in names
        )
        head = f"<KeyCount>{len(names)}</KeyCount><IsTruncated>false</IsTruncated>"
        text = f"<ListBucketResult>{head}{keys}</ListBucketResult>"
        return self._answer(200, f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode())

    def _answer(self, status, body=b"", *, tag=None):
        self.send_response(status)
        if tag:
            self.send_header("ETag", tag)
            self.send_header("x-goog-generation", str(int(tag.strip('"')[:12], 16) + 1))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _tag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def _generation(body: bytes) -> int:
    return int(_tag(body).strip('"')[:12], 16) + 1
