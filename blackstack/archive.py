"""An image kept as a file, because registries forget: ``docker save``, packed, with a record beside it.

What stands in the record is believed only after the file was read to its end and found to be what was written. The
image is saved by its id and has no name inside: loading it never takes a name away from another image.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import zstandard

from blackstack import shell
from blackstack.errors import BlackstackError, BlockedError, UsageError
from blackstack.progress import Progress
from blackstack.registry import short_id

SCHEMA = 1
ENDING = ".tar.zst"
_DRAFT = ".partial"
_PIECE = 1 << 20
_LEVEL = 3  # zstd's own default
_ID = re.compile(r"sha256:[0-9a-f]{64}")
_SMALL = 64 << 20  # no manifest or configuration of an image is larger


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image as the engine has it.

    Attributes:
        id: its identity; with the classic image store the digest of its configuration.
        tags: its names with tags.
        digests: its names with digests, where it came from a registry or was pushed to one.
        platform: such as ``linux/amd64``.
        size: bytes, unpacked.
    """

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    platform: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Record:
    """What an archive is; written beside it as JSON.

    Attributes:
        stack: whose image.
        file: the archive's name, in the record's own folder.
        image: the name that the stack's files had for it.
        image_id, platform, image_bytes: the image, see `Image`.
        digests: what it can be pulled by, as long as a registry has it.
        sha256, file_bytes: the archive itself.
        engine: the version that saved it.
        made_at: UTC.
    """

    schema: int = SCHEMA
    stack: str
    file: str
    image: str
    image_id: str
    digests: tuple[str, ...]
    platform: str
    image_bytes: int
    sha256: str
    file_bytes: int
    engine: str
    made_at: str


def inspect(name: str) -> Image | None:
    """Return an image of the engine by name or id; None where it has none.

    Raises:
        CommandFailedError: the engine does not answer.
    """
    asked = shell.capture(("docker", "image", "inspect", name))
    if asked.code:
        if re.search(r"no such image", asked.err, re.IGNORECASE):
            return None
        raise shell.CommandFailedError(asked, what="the engine does not say which images it has", fix="docker info")
    told = json.loads(asked.out)[0]
    return Image(
        id=str(told["Id"]),
        tags=tuple(told.get("RepoTags") or ()),
        digests=tuple(told.get("RepoDigests") or ()),
        platform=f"{told['Os']}/{told['Architecture']}",
        size=int(told["Size"]),
    )


def save(stack: str, name: str, image: Image, folder: Path, progress: Progress) -> Record:
    """Write an image into a folder and return its record; the file gets its name when it is whole.

    An archive of the same image that is there already is taken as it is.

    Args:
        stack: whose image.
        name: how the stack's files name it.
        image: what to save.
        folder: where; made where it is not there.
        progress: told the bytes.

    Raises:
        BlockedError: too little disk.
        CommandFailedError: the engine could not save it.
    """
    path = folder / f"{stack}-{short_id(image.id)}{ENDING}"
    if kept := _kept(path, image, progress):
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f".{stack}-*{_DRAFT}"):  # of one that was killed
        left.unlink()
    _refuse_full_disk(folder, image.size, f"the archive of {stack} may need")
    draft = path.with_name(f".{path.name}{_DRAFT}")
    total, digest = 0, hashlib.sha256()
    try:
        with draft.open("wb") as out:
            packer = zstandard.ZstdCompressor(level=_LEVEL, threads=-1, write_checksum=True).compressobj()
            for piece in shell.produce(("docker", "save", image.id)):
                total += len(piece)
                progress.line(f"{total / 1e6:,.0f} of about {image.size / 1e6:,.0f} MB")
                packed = packer.compress(piece)
                digest.update(packed)
                out.write(packed)
            packed = packer.flush()
            digest.update(packed)
            out.write(packed)
        record = Record(
            stack=stack,
            file=path.name,
            image=name,
            image_id=image.id,
            digests=image.digests,
            platform=image.platform,
            image_bytes=image.size,
            sha256=digest.hexdigest(),
            file_bytes=draft.stat().st_size,
            engine=_engine("Version"),
            made_at=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        )
        _write_record(record, path)  # first: a file without a record is nothing, a record without a file says so
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return record


def restore(path: Path, progress: Progress) -> tuple[Record, Image]:
    """Load an image back, when the file is to the last byte what was saved; return its record and the image.

    Raises:
        UsageError: there is no such archive, or it is none of ours.
        BlockedError: it is broken, or for other machines, or there is too little disk; no image was touched.
        BlackstackError: the engine made something else of it.
    """
    record = read(path)
    progress.stage("verify the archive")
    ids = verify(path, record, progress)
    here = inspect(record.image_id)
    if here:
        return record, here
    platform = f"{_engine('Os')}/{_engine('Arch')}"
    if record.platform != platform:
        raise BlockedError(f"{path.name} holds an image for {record.platform}; this engine runs {platform}")
    root = Path(shell.capture(("docker", "info", "--format", "{{.DockerRootDir}}")).out.strip() or "/")
    if root.is_dir():  # of an engine elsewhere it is not
        _refuse_full_disk(root, record.image_bytes, f"the image of {record.stack} needs")
    progress.stage("load the image")
    with path.open("rb") as stream:
        loaded = shell.consume(("docker", "load", "--quiet"), _pieces(stream, record.file_bytes, progress.line))
    if loaded.code:
        raise shell.CommandFailedError(loaded, what=f"the engine did not load {path.name}")
    made = next((image for image in map(inspect, sorted(ids)) if image), None)
    if made is None:
        raise BlackstackError(
            f"the engine made another image of {path.name} than the one that was saved",
            why=[f"saved: {', '.join(sorted(ids))}", *loaded.out.splitlines()],
        )
    return record, made


def read(path: Path) -> Record:
    """Return the record of an archive.

    Raises:
        UsageError: there is no such archive, or it is none of ours.
    """
    if not path.is_file():
        near = sorted(one.name for one in path.parent.glob(f"*{ENDING}")) if path.parent.is_dir() else []
        raise UsageError(f"there is no archive {path}", why=f"there: {', '.join(near)}" if near else "")
    try:
        told = json.loads(record_of(path).read_text(encoding="utf-8"))
        record = Record(**{**told, "digests": tuple(told["digests"])})
        sound = all(
            (
                record.schema == SCHEMA,
                record.file == path.name,
                _ID.fullmatch(record.image_id),
                re.fullmatch(r"[0-9a-f]{64}", record.sha256),
                *(isinstance(size, int) for size in (record.file_bytes, record.image_bytes)),
            )
        )
    except FileNotFoundError as error:
        raise UsageError(
            f"{path.name} has no record beside it: it was not made by `inv archive`",
            why=f"there is no {record_of(path).name}",
            fix=f"bring the record too, or, if you trust it: docker load --input {path}",
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"the record {record_of(path)} cannot be read", why=str(error)) from error
    if not sound:
        raise UsageError(f"the record {record_of(path)} does not belong to {path.name}", fix="bring the right record")
    return record


def verify(path: Path, record: Record, progress: Progress) -> frozenset[str]:
    """Read an archive to its end and hold it against its record; the engine is not asked.

    Returns:
        The ids that the image in it has, by the kind of the engine's image store.

    Raises:
        BlockedError: it is not what was saved.
    """
    size = path.stat().st_size
    if size != record.file_bytes:
        how = "truncated" if size < record.file_bytes else "longer than it was"
        raise _broken(path, f"it is {how}: {size:,} bytes of {record.file_bytes:,}")
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for piece in _pieces(stream, record.file_bytes, progress.line):
            digest.update(piece)
    if digest.hexdigest() != record.sha256:
        raise _broken(path, f"its checksum is {digest.hexdigest()}, and was {record.sha256}")
    try:
        ids, about = _look_inside(path)
    except (tarfile.TarError, zstandard.ZstdError, ValueError, KeyError, TypeError, IndexError) as error:
        raise _broken(path, f"it holds no image: {error}") from error
    if record.image_id not in ids:
        held = ", ".join(sorted(ids))
        raise BlockedError(
            f"{path.name} holds another image than its record says", why=f"{held}, not {record.image_id}"
        )
    if about != record.platform:
        raise BlockedError(f"{path.name} holds an image for {about}, and its record says {record.platform}")
    return ids


def find(folder: Path, stack: str, image_id: str | None = None) -> Path | None:
    """Return the newest archive of a stack's image in a folder; None where there is none."""
    found = []
    for path in folder.glob(f"{stack}-*{ENDING}"):
        try:
            record = read(path)
        except UsageError:
            continue
        if record.stack == stack and image_id in {None, record.image_id}:
            found.append((record.made_at, path))
    return max(found)[1] if found else None


def record_of(path: Path) -> Path:
    """Return where the record of an archive lies."""
    return path.with_name(f"{path.name}.json")


def _kept(path: Path, image: Image, progress: Progress) -> Record | None:
    """Return the record of an archive that is there already and whole."""
    try:
        record = read(path)
        verify(path, record, progress)
    except (UsageError, BlockedError):
        return None
    return record if record.image_id == image.id else None


def _look_inside(path: Path) -> tuple[frozenset[str], str]:
    """Return what engines call the image in a ``docker save`` file, computed from its bytes, and its platform.

    The classic image store calls an image by the digest of its configuration, containerd's by that of its manifest.
    The layers are passed over; that they are whole, the checksum has said.
    """
    small: dict[str, bytes] = {}
    with (
        path.open("rb") as packed,
        zstandard.ZstdDecompressor().stream_reader(packed) as plain,
        tarfile.open(fileobj=io.BufferedReader(plain, _PIECE), mode="r|") as tar,
    ):
        for member in tar:
            if member.isfile() and member.size <= _SMALL and _may_be_config(member.name):
                content = tar.extractfile(member)
                head = content.read(1) if content else b""
                if content and head in {b"{", b"["}:
                    small[member.name] = head + content.read()
    config = small[json.loads(small["manifest.json"])[0]["Config"]]
    listed = json.loads(small.get("index.json", b"{}")).get("manifests", ())
    blobs = (config, *(small[f"blobs/sha256/{one['digest'].removeprefix('sha256:')}"] for one in listed))
    told: dict[str, Any] = json.loads(config)
    return (
        frozenset(f"sha256:{hashlib.sha256(blob).hexdigest()}" for blob in blobs),
        f"{told['os']}/{told['architecture']}",
    )


def _may_be_config(name: str) -> bool:
    return name == "manifest.json" or name.endswith(".json") or name.startswith("blobs/sha256/")


def _pieces(stream: IO[bytes], total: int, tell: Callable[[str], None]) -> Iterator[bytes]:
    done = 0
    while piece := stream.read(_PIECE):
        done += len(piece)
        tell(f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB")
        yield piece


def _write_record(record: Record, path: Path) -> None:
    target = record_of(path)
    draft = target.with_name(f".{target.name}{_DRAFT}")
    draft.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    draft.replace(target)


def _engine(key: str) -> str:
    asked = shell.capture(("docker", "version", "--format", f"{{{{.Server.{key}}}}}"))
    if asked.code:
        raise shell.CommandFailedError(asked, what="no Docker engine answers", fix="sudo systemctl start docker")
    return asked.out.strip()


def _refuse_full_disk(folder: Path, needed: int, what: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BlockedError(
            f"too little disk: {what} {needed / 1e9:.1f} GB",
            why=f"free in {folder}: {free / 1e9:.1f} GB",
            fix=["docker system df", f"df -h {folder}", "another disk: --out DIR"],
        )


def _broken(path: Path, why: str) -> BlockedError:
    return BlockedError(
        f"{path.name} is broken; no image was touched",
        why=why,
        fix=["copy it again from where it was made", f"or remove it: rm {path} {record_of(path)}"],
    )
