"""An archive is believed after it was read to its end, and is what its record says."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from blackstack import archive
from blackstack.errors import BlackstackError, BlockedError, UsageError
from blackstack.progress import StageClock


def saved(folder: Path, *, platform: str = "linux/amd64", image_id: str | None = None, spare: int = 0) -> Path:
    """Write what `docker save` and `inv archive` would."""
    system, _, architecture = platform.partition("/")
    config = json.dumps({"os": system, "architecture": architecture}).encode()
    name = f"blobs/sha256/{hashlib.sha256(config).hexdigest()}"
    manifest = json.dumps({"schemaVersion": 2, "config": {"digest": name}}).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    layer = bytes(range(256)) * 40
    files = {
        "blobs/sha256/layer": layer,
        name: config,
        f"blobs/sha256/{digest}": manifest,
        "index.json": json.dumps({"manifests": [{"digest": f"sha256:{digest}"}]}).encode(),
        "manifest.json": json.dumps([{"Config": name, "RepoTags": None, "Layers": []}]).encode(),
    }
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for path, content in files.items():
            about = tarfile.TarInfo(path)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    packed = zstandard.compress(plain.getvalue() + bytes(spare))
    image_id = image_id or f"sha256:{hashlib.sha256(config).hexdigest()}"
    target = folder / f"toy-{image_id[7:19]}{archive.ENDING}"
    target.write_bytes(packed)
    record = archive.Record(
        stack="toy",
        file=target.name,
        image="toy:1",
        image_id=image_id,
        digests=(),
        platform=platform,
        image_bytes=len(layer),
        sha256=hashlib.sha256(packed).hexdigest(),
        file_bytes=len(packed),
        engine="28.0",
        made_at="2026-11-21T04:05:06+00:00",
    )
    archive._write_record(record, target)
    return target


def change_record(path: Path, **values: object) -> None:
    """Change what stands beside an archive."""
    record = archive.record_of(path)
    record.write_text(json.dumps({**json.loads(record.read_text()), **values}))


def verify(path: Path) -> frozenset[str]:
    """Read an archive as `inv restore` does before it asks the engine."""
    return archive.verify(path, archive.read(path), StageClock())


def test_a_whole_archive_names_the_image_as_both_kinds_of_engines_do(tmp_path: Path) -> None:
    path = saved(tmp_path)

    ids = verify(path)

    assert archive.read(path).image_id in ids
    assert len(ids) == 2


def truncate(path: Path) -> None:
    """Cut the end off."""
    path.write_bytes(path.read_bytes()[:-7])


def turn_a_byte(path: Path) -> None:
    """Change one byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def fill_with(content: bytes) -> Callable[[Path], None]:
    """Return what puts something else into the file, with a record that fits its bytes."""

    def fill(path: Path) -> None:
        path.write_bytes(content)
        change_record(path, sha256=hashlib.sha256(content).hexdigest(), file_bytes=len(content))

    return fill


@pytest.mark.parametrize(
    ("spoil", "error", "sentence"),
    [
        (truncate, BlockedError, "is broken; no image was touched\n  it is truncated"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), BlockedError, "longer than it was"),
        (turn_a_byte, BlockedError, "its checksum is"),
        (fill_with(b"not packed"), BlockedError, "it holds no image"),
        (fill_with(zstandard.compress(b"no tar")), BlockedError, "it holds no image"),
        (fill_with(zstandard.compress(bytes(10240))), BlockedError, "it holds no image"),
        (lambda path: change_record(path, image_id="sha256:" + "a" * 64), BlockedError, "holds another image"),
        (lambda path: change_record(path, platform="linux/arm64"), BlockedError, "its record says linux/arm64"),
        (lambda path: change_record(path, file="../other"), UsageError, "does not belong to"),
        (lambda path: change_record(path, schema=2), UsageError, "does not belong to"),
        (lambda path: change_record(path, image_id="--help"), UsageError, "does not belong to"),
        (lambda path: change_record(path, image_id=7), UsageError, "cannot be read"),
        (lambda path: change_record(path, more=1), UsageError, "cannot be read"),
        (lambda path: archive.record_of(path).write_text("{"), UsageError, "cannot be read"),
        (lambda path: archive.record_of(path).write_text("[]"), UsageError, "cannot be read"),
        (lambda path: archive.record_of(path).unlink(), UsageError, "was not made by `inv archive`"),
        (lambda path: path.unlink(), UsageError, "there is no archive"),
    ],
)
def test_what_is_not_what_was_saved_is_refused_in_a_sentence(
    tmp_path: Path, spoil: Callable[[Path], None], error: type[BlackstackError], sentence: str
) -> None:
    path = saved(tmp_path)
    spoil(path)

    with pytest.raises(error) as caught:
        verify(path)

    assert sentence in str(caught.value)


def test_the_newest_archive_of_a_stack_is_found_and_a_broken_record_passed_over(tmp_path: Path) -> None:
    assert archive.find(tmp_path, "toy") is None
    old = saved(tmp_path)
    new = saved(tmp_path, platform="linux/arm64")
    change_record(new, made_at="2026-12-01T00:00:00+00:00")
    broken = tmp_path / f"toy-{'f' * 12}{archive.ENDING}"
    broken.write_bytes(b"")
    archive.record_of(broken).write_text("{")

    assert archive.find(tmp_path, "toy") == new
    assert archive.find(tmp_path, "toy", archive.read(old).image_id) == old
    assert archive.find(tmp_path, "another") is None
