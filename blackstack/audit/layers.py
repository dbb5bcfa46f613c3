"""Make of an image's layers the one file system that a container would see, keeping only what an audit reads.

Layers are tars in the order of the manifest. ``.wh.NAME`` hides NAME of the layers below, ``.wh..wh..opq``
all of a folder (https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts). Nothing is
written where the tar says: files go to numbered spool files, and links are made last, so no name in an
image leads out of its root.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from blackstack.audit.root import SONAME_END

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_CONTENT = re.compile(
    rf"(^|.*/)([^/]+{SONAME_END}"
    r"|[^/]+\.(dist|egg)-info/(METADATA|RECORD|WHEEL|PKG-INFO)"
    r"|torch/(version|__init__)\.py|cpp_lib\.json|blackstack-seal\.json|pyvenv\.cfg"
    r"|etc/ld\.so\.(cache|conf)|etc/ld\.so\.conf\.d/[^/]+\.conf)"
)
_HEAD_ONLY = re.compile(r".*\.cubin")
_NAME_ONLY = re.compile(r"(^|.*/)bin/(nvcc|ninja|python3?(\.\d+)?)")
_HEAD = 4096


class LayerError(Exception):
    """A layer cannot be read."""


@dataclass(frozen=True)
class Entry:
    """A file (its spool file) or a symbolic link (its target)."""

    spooled: Path | None = None
    link: str = ""


@dataclass
class Layer:
    """What one layer adds and hides."""

    entries: dict[str, Entry] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)
    emptied: list[str] = field(default_factory=list)


@dataclass
class Spool:
    """A folder for the few files that are kept, with an end to its size."""

    folder: Path
    left: int
    count: int = 0

    def keep(self, source: IO[bytes] | None, size: int) -> Path:
        """Write up to SIZE bytes of SOURCE to a file of its own."""
        self.left -= size
        if self.left < 0:
            raise LayerError("the image's libraries do not fit on this disk")
        self.count += 1
        path = self.folder / str(self.count)
        with path.open("wb") as file:
            while source is not None and size > 0:
                chunk = source.read(min(size, 1 << 20))
                if not chunk:
                    raise LayerError("a layer ends in the middle of a file")
                file.write(chunk)
                size -= len(chunk)
        return path


def read_layer(tar: tarfile.TarFile, spool: Spool) -> Layer:
    """Read one layer from a stream, once, forward."""
    layer = Layer()
    try:
        for member in tar:
            path = _clean(member.name)
            if path is not None:
                _take(layer, member, path, tar, spool)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise LayerError(f"a layer cannot be read: {error}") from error
    return layer


def _take(layer: Layer, member: tarfile.TarInfo, path: str, tar: tarfile.TarFile, spool: Spool) -> None:
    folder, _, name = path.rpartition("/")
    if name == _OPAQUE:
        layer.emptied.append(folder)
    elif name.startswith(_WHITEOUT):
        layer.hidden.append(f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/"))
    elif member.issym():
        layer.entries[path] = Entry(link=member.linkname)
    elif member.islnk():
        target = layer.entries.get(_clean(member.linkname) or "")
        if target is not None:
            layer.entries[path] = target
    elif member.isreg():
        if _CONTENT.fullmatch(path):
            layer.entries[path] = Entry(spool.keep(tar.extractfile(member), member.size))
        elif _HEAD_ONLY.fullmatch(path):
            layer.entries[path] = Entry(spool.keep(tar.extractfile(member), min(member.size, _HEAD)))
        elif _NAME_ONLY.fullmatch(path):
            layer.entries[path] = Entry(spool.keep(None, 0))


def merge(layers: Iterable[Layer]) -> dict[str, Entry]:
    """Lay the layers over each other, lowest first."""
    found: dict[str, Entry] = {}
    for layer in layers:
        gone = {f"{folder}/" if folder else "" for folder in layer.emptied}
        gone |= {f"{path}/" for path in (*layer.hidden, *layer.entries)}  # a file takes the place of a folder
        hidden = set(layer.hidden)
        found = {path: e for path, e in found.items() if path not in hidden and not _under(path, gone)}
        found.update(layer.entries)
    return found


def materialise(entries: dict[str, Entry], root: Path) -> None:
    """Write the merged entries below ROOT: files first, links when nothing more is written through them."""
    links = {path for path, entry in entries.items() if entry.spooled is None}
    for path, entry in entries.items():
        if entry.spooled is not None and not _under(path, {f"{link}/" for link in _parents(path) if link in links}):
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(entry.spooled, target)
            except OSError:
                shutil.copyfile(entry.spooled, target)
    for path in sorted(links):
        if not any(parent in links for parent in _parents(path)) and not os.path.lexists(root / path):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).symlink_to(entries[path].link)


def _clean(name: str) -> str | None:
    parts = [part for part in name.split("/") if part not in {"", "."}]
    return None if not parts or ".." in parts or "\0" in name else "/".join(parts)


def _parents(path: str) -> Iterator[str]:
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def _under(path: str, folders: set[str]) -> bool:
    return "" in folders or any(f"{parent}/" in folders for parent in _parents(path))
