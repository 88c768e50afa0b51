"""A web server on loopback that behaves as badly as it is told to, and archives to put on it."""

import io
import re
import socket
import struct
import sys
import tarfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Cut:
    """End the connection after so many bytes of the body; by a reset if asked to."""

    after: int
    reset: bool = False


@dataclass
class Stall:
    """Send so many bytes, then nothing."""

    after: int
    seconds: float


@dataclass
class Headers:
    """Send these headers instead of the right ones; None leaves one out."""

    values: dict


class FileServer(ThreadingHTTPServer):
    """Serves `files`; what goes wrong with the next answers to GET stands in `faults`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.files = {}  # name: bytes
        self.versions = {}  # name: ETag, where it is not the usual one; None: no ETag
        self.faults = {}  # name: statuses or the above, one for each GET to come
        self.redirects = {}  # name: name, or a whole URL
        self.ranges = True
        self.if_range = True  # False: ranges of whatever version there is
        self.seen = []  # (method, name, Range)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # of a client that went away
            super().handle_error(request, client_address)

    def gets(self, name=None):
        return [r for r in self.seen if r[0] == "GET" and name in (None, r[1])]


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        server, name = self.server, self.path.lstrip("/")
        server.seen.append((self.command, name, self.headers.get("Range")))
        faults = server.faults.get(name, []) if self.command == "GET" else []
        fault = faults.pop(0) if faults else None
        if name in server.redirects:
            self.send_response(302)
            place = server.redirects[name]
            self.send_header("Location", place if ":" in place else f"{server.url}/{place}")
            self.end_headers()
            return
        if isinstance(fault, int) or name not in server.files:
            self.send_error(fault or 404)
            return
        body, etag = server.files[name], server.versions.get(name, '"1"')
        start = self.find_start(etag)
        if start >= len(body) > 0:
            self.send_error(416)
            return
        headers = {"Content-Length": len(body) - start, "ETag": etag}
        if etag is None:
            headers["Last-Modified"] = formatdate(0, usegmt=True)
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        self.send_response(206 if start else 200)
        if isinstance(fault, Headers):
            headers |= fault.values
        for key, value in headers.items():
            if value is not None:
                self.send_header(key, str(value))
        self.end_headers()
        if self.command == "GET":
            self.send_body(body[start:], fault)

    def find_start(self, etag):
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        wanted = self.headers.get("If-Range")
        same = wanted in (None, etag, formatdate(0, usegmt=True)) or not self.server.if_range
        return int(match[1]) if match and same and self.server.ranges else 0

    def send_body(self, body, fault):
        if isinstance(fault, Stall):
            self.wfile.write(body[: fault.after])
            time.sleep(fault.seconds)
        elif isinstance(fault, Cut):
            self.wfile.write(body[: fault.after])
            if fault.reset:
                time.sleep(0.2)  # a reset would overtake the bytes
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
            else:
                self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(body)

    def finish(self):
        with suppress(OSError):  # of a client that was cut off
            super().finish()


@contextmanager
def run_server():
    """Start a server that is asked without a proxy, and end it."""
    with FileServer() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def pack(members, mode="w:gz"):
    """Make a tar archive: name -> bytes, or None for a folder, or a TarInfo's attributes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, dict):
                for key, value in content.items():
                    setattr(info, key, value)
            else:
                info.size = len(content)
            data = io.BytesIO(content) if isinstance(content, bytes) else None
            tar.addfile(info, data)
    return buffer.getvalue()
