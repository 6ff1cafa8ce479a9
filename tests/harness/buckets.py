"""The part of an S3-compatible store that the service uses, with one bucket in memory."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape, unescape

OBJECTS_AT_ONCE = 7
"""Objects on a page of a listing: few, so that the tests' lists have several pages."""


class Bucket:
    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.broken = False
        """If true, every request is answered 503."""
        self.stored: Callable[[str], None] = lambda _: None
        """Called with the key of each object after it is stored, before the request is answered."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._refused():
            self.bucket.objects[self._key()] = content, datetime.now(UTC)
            self.bucket.stored(self._key())
            self._answer(200, ETag='"e"')

    def do_GET(self) -> None:
        if self._refused():
            return
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self._answer(200, self._listing(query), Content_Type="application/xml")
        elif self._key() not in self.bucket.objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            content, stored_at = self.bucket.objects[self._key()]
            about = {"ETag": '"e"', "Last_Modified": stored_at.strftime("%a, %d %b %Y %H:%M:%S GMT")}
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if asked is None:
                self._answer(200, content, **about)
            else:
                first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
                about["Content_Range"] = f"bytes {first}-{last}/{len(content)}"
                self._answer(206, content[first : last + 1], **about)

    def do_POST(self) -> None:
        """Delete several objects."""
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if not self._refused():
            keys = re.findall("<Key>(.*?)</Key>", asked)
            for key in keys:
                self.bucket.objects.pop(unescape(key), None)
            deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            self._answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode(), Content_Type="application/xml")

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _key(self) -> str:
        return urlsplit(self.path).path.removeprefix("/bucket/")

    def _refused(self) -> bool:
        if self.bucket.broken:
            self._answer(503)
        return self.bucket.broken

    def _listing(self, query: dict[str, list[str]]) -> bytes:
        prefix, after = query.get("prefix", [""])[0], query.get("continuation-token", [""])[0]
        keys = sorted(key for key in self.bucket.objects if key.startswith(prefix) and key > after)
        page, more = keys[:OBJECTS_AT_ONCE], len(keys) > OBJECTS_AT_ONCE
        items = "".join(self._item(key) for key in page)
        following = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        cut = f"<IsTruncated>{str(more).lower()}</IsTruncated>{following}"
        return f"<ListBucketResult><Name>bucket</Name>{cut}{items}</ListBucketResult>".encode()

    def _item(self, key: str) -> str:
        content, stored_at = self.bucket.objects[key]
        about = f"<LastModified>{stored_at.isoformat()}</LastModified><Size>{len(content)}</Size>"
        return f'<Contents><Key>{escape(key)}</Key><ETag>"e"</ETag>{about}</Contents>'

    def _answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: the client may have been killed."""


@contextmanager
def serving_bucket() -> Iterator[tuple[Bucket, dict[str, str]]]:
    """An empty bucket, `s3://bucket`, and the environment variables that lead to it."""
    bucket = Bucket()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"bucket": bucket}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield (
            bucket,
            {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
                "AWS_ACCESS_KEY_ID": "fitness",
                "AWS_SECRET_ACCESS_KEY": "of-the-bucket",
                "AWS_REGION": "eu-west-1",
            },
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
