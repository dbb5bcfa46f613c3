"""A file behind a URL, read where it is asked for, so that zipfile opens a wheel without fetching it."""

from __future__ import annotations

import io
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BLOCK = 8 << 20
_TIMEOUT = 60
_PARTIAL = 206
_CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


class NoRangesError(Exception):
    """The server sends whole files only."""


class RemoteFile(io.RawIOBase):
    """A seekable file over HTTP range requests, one block held at a time."""

    def __init__(self, url: str) -> None:
        if urllib.parse.urlsplit(url).scheme not in {"https", "http"}:
            raise ValueError(f"not an HTTP address: {url}")
        self._url = url
        self._context = ssl.create_default_context(cafile=_certificates())
        self._at = 0
        self._block = b""
        self._block_at = 0
        self.fetched = 0
        self.size = self._probe()

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go somewhere; nothing is fetched."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill BUFFER from the block that is held, or from the next one."""
        view = memoryview(buffer).cast("B")
        offset = self._at - self._block_at
        if not 0 <= offset < len(self._block):
            if self._at >= self.size or not len(view):
                return 0
            # Near the end lies the directory of a zip: it comes whole with the first small block.
            length = min(_BLOCK if self.fetched else 1 << 18, self.size - self._at)
            self._block, self._block_at, offset = self._get(self._at, self._at + length - 1), self._at, 0
        data = self._block[offset : offset + len(view)]
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _probe(self) -> int:
        with self._open("bytes=0-0") as answer:
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if answer.status != _PARTIAL or not total.isdigit():
                raise NoRangesError(self._url)
            return int(total)

    def _get(self, first: int, last: int) -> bytes:
        with self._open(f"bytes={first}-{last}") as answer:
            data = cast("bytes", answer.read())
        if not data:
            raise OSError(f"the server sent nothing for bytes {first}-{last}")
        self.fetched += len(data)
        return data

    def _open(self, ranges: str) -> urllib.request.addinfourl:  # type: ignore[name-defined]
        request = urllib.request.Request(self._url, headers={"Range": ranges})  # noqa: S310 - checked in __init__
        return urllib.request.urlopen(request, timeout=_TIMEOUT, context=self._context)  # noqa: S310


def open_url(url: str) -> BinaryIO:
    """Open a wheel's address: a local file, or a remote one by ranges."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path)).open("rb")
    return cast("BinaryIO", io.BufferedReader(RemoteFile(url), 1 << 20))


def _certificates() -> str | None:
    return next((os.environ[name] for name in _CERTIFICATES if os.environ.get(name)), None)
