"""Get an image's file system from `docker save`, streamed: no container, no engine's internals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from blackstack.audit.layers import Layer, LayerError, Spool, materialise, merge, read_layer
from blackstack.audit.target import of_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blackstack.audit.target import Target

_JSON_LIMIT = 1 << 22
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class ImageError(Exception):
    """There is no such image, or what the engine sent is none."""


@contextmanager
def opened(reference: str) -> Iterator[Target]:
    """Audit an image by name, or a file that `docker save` wrote; all that was kept is removed at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="audit-")))
        stream = stack.enter_context(_stream(reference))
        try:
            root, settings = unpack(stream, folder)
        except (LayerError, tarfile.TarError, OSError, ValueError, KeyError, TypeError) as error:
            raise ImageError(f"{reference}: {error}") from error
        paths = settings.get("LD_LIBRARY_PATH", "")
        yield of_root(root, tuple(p for p in paths.split(":") if p), label=reference)


def unpack(stream: IO[bytes], folder: Path) -> tuple[Path, dict[str, str]]:
    """Read a saved image once, forward; return its root and its environment."""
    spool = Spool(folder / "spool", shutil.disk_usage(folder).free * 9 // 10)
    spool.folder.mkdir()
    layers: dict[str, Layer] = {}
    documents: dict[str, Any] = {}
    links: dict[str, str] = {}
    with tarfile.open(fileobj=stream, mode="r|") as outer:
        for member in outer:
            name = os.path.normpath(member.name)
            if member.issym() or member.islnk():  # the old format names a layer twice
                target = member.linkname
                folder_of_link = name.rpartition("/")[0] if member.issym() else ""
                links[name] = os.path.normpath(f"{folder_of_link}/{target}".lstrip("/"))
            elif member.isreg():
                found = _document_or_layer(outer, member, spool)
                if isinstance(found, Layer):
                    layers[name] = found
                elif found is not None:
                    documents[name] = found
    manifest = documents.get("manifest.json")
    if not manifest:
        raise LayerError("not a saved image: there is no manifest.json in it")
    order = [os.path.normpath(name) for name in manifest[0]["Layers"]]
    missing = [name for name in order if links.get(name, name) not in layers]
    if missing:
        raise LayerError(f"a layer is missing: {missing[0]}")
    root = folder / "root"
    root.mkdir()
    materialise(merge(layers[links.get(name, name)] for name in order), root)
    config = documents.get(os.path.normpath(manifest[0]["Config"])) or {}
    environment = (config.get("config") or {}).get("Env") or []
    return root, dict(line.partition("=")[::2] for line in environment)


def _document_or_layer(outer: tarfile.TarFile, member: tarfile.TarInfo, spool: Spool) -> Any:  # noqa: ANN401 - JSON
    """Sort by the first bytes: in the OCI layout all blobs have names that say nothing."""
    source = outer.extractfile(member)
    if source is None:
        return None
    stream = _Peeked(source)
    head = stream.head
    if head[:1] in {b"{", b"["} and member.size < _JSON_LIMIT:
        return json.loads(stream.read(_JSON_LIMIT))
    try:
        if head.startswith(_ZSTD):
            with _unpacked(stream) as plain, tarfile.open(fileobj=plain, mode="r|") as inner:
                return read_layer(inner, spool)
        if head.startswith(_GZIP) or head[257:262] == b"ustar" or (member.size and not any(head)):
            mode = "r|gz" if head.startswith(_GZIP) else "r|"
            with tarfile.open(fileobj=stream, mode=mode) as inner:  # type: ignore[call-overload]
                return read_layer(inner, spool)
    except tarfile.TarError as error:
        raise LayerError(f"a layer cannot be read: {error}") from error
    return None


@contextmanager
def _unpacked(stream: _Peeked) -> Iterator[IO[bytes]]:
    """Unpack zstd, in which an engine with the containerd store keeps layers that were pushed so."""
    try:
        import zstandard  # noqa: PLC0415 - not needed for most images, nor installed in most of them
    except ImportError as error:
        raise LayerError(
            "a layer is packed with zstd, and Python cannot read that here: pip install zstandard"
        ) from error
    try:
        with zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True) as plain:  # type: ignore[arg-type]
            yield plain
    except zstandard.ZstdError as error:
        raise LayerError(f"a layer cannot be read: {error}") from error


class _Peeked:
    """A forward stream whose first block was already looked at."""

    def __init__(self, source: IO[bytes]) -> None:
        self.head = source.read(512)
        self._left = self.head
        self._source = source

    def read(self, size: int = -1) -> bytes:
        """Read SIZE bytes, fewer only at the end."""
        taken, self._left = (self._left, b"") if size < 0 else (self._left[:size], self._left[size:])
        return taken + self._source.read(size - len(taken) if size >= 0 else -1)


@contextmanager
def _stream(reference: str) -> Iterator[IO[bytes]]:
    file = Path(reference)
    if file.is_file():
        with file.open("rb") as stream:
            yield stream
        return
    docker = shutil.which("docker")
    if docker is None:
        raise ImageError(f"there is no file {reference}, and no docker to ask for an image of this name")
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen([docker, "save", reference], stdout=subprocess.PIPE, stderr=said) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - stdout=PIPE
        try:
            yield process.stdout
        except ImageError as error:
            process.kill()
            process.wait()
            said.seek(0)
            told = said.read(2000).decode("utf-8", "replace").strip()
            raise ImageError(told.splitlines()[-1] if told else str(error)) from error
        finally:
            process.kill()  # everything wanted was read, or nothing more is
