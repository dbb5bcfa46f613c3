"""Images: layers, whiteouts and names that try to leave, through the file that `docker save` writes."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from blackstack.audit.image import ImageError, opened, unpack
from blackstack.audit.layers import Entry, Layer, LayerError, materialise, merge
from tests.unit.audit import build

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SITE = "usr/lib/python3.12/site-packages"
TORCH = f"{SITE}/torch/version.py"


def root_of(tmp_path: Path, *layers: dict[str, bytes | str]) -> Path:
    saved = build.saved_image(tmp_path / "image.tar", layers, ["LD_LIBRARY_PATH=/opt/lib:/opt/more"])
    (tmp_path / "out").mkdir()
    with saved.open("rb") as stream:
        root, environment = unpack(stream, tmp_path / "out")
    assert environment["LD_LIBRARY_PATH"] == "/opt/lib:/opt/more"
    return root


def test_upper_layers_win_and_only_what_is_read_is_kept(tmp_path: Path) -> None:
    root = root_of(tmp_path, {TORCH: b"old", "usr/share/doc/big": b"x" * 999}, {TORCH: b"new"})

    assert (root / TORCH).read_bytes() == b"new"
    assert not (root / "usr/share").exists()


@pytest.mark.parametrize("name", ["libz.so", "libz.so.1", "libssl-81259c47.so.1.1.1k", "libx-r0.so.2.0-rc1"])
def test_a_library_is_kept_however_its_version_is_written(tmp_path: Path, name: str) -> None:
    root = root_of(tmp_path, {f"{SITE}/x.libs/{name}": b"library"})

    assert (root / SITE / "x.libs" / name).exists()


def test_a_whiteout_hides_a_file_and_an_opaque_folder_hides_all_below(tmp_path: Path) -> None:
    first: dict[str, bytes | str] = {"a/x.so": b"1", "a/y.so": b"1", "b/z.so": b"1", "c/d/w.so": b"1"}
    root = root_of(tmp_path, first, {"a/.wh.x.so": b"", "b/.wh..wh..opq": b"", "b/new.so": b"2", ".wh.c": b""})

    assert {"a/y.so", "b/new.so"} == {str(p.relative_to(root)) for p in root.rglob("*.so")}


def test_links_are_made_last_and_nothing_is_written_through_them(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = root_of(tmp_path, {"lib": str(outside), "lib/evil.so": b"x", "../up.so": b"x", "/abs/fine.so": b"x"})

    assert list(outside.iterdir()) == []
    assert not (tmp_path / "up.so").exists()
    assert (root / "abs/fine.so").exists()
    assert (root / "lib").is_symlink()


def test_a_link_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    """usrmerge: /lib was a folder in the base image and becomes a link."""
    root = root_of(tmp_path, {"lib/x.so": b"1"}, {"usr/lib/x.so": b"2", ".wh.lib": b"", "lib": "usr/lib"})

    assert (root / "lib/x.so").read_bytes() == b"2"


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_packed_layers_are_read(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    packed = repacked(tmp_path, pack)
    (tmp_path / "out").mkdir()

    with packed.open("rb") as stream:
        root, _ = unpack(stream, tmp_path / "out")

    assert (root / TORCH).read_bytes() == b"x"


def test_a_broken_zstd_layer_is_an_error_with_a_sentence(tmp_path: Path) -> None:
    packed = repacked(tmp_path, lambda data: zstandard.compress(data)[:40] + b"\xff" * 40)

    with pytest.raises(ImageError, match="a layer cannot be read"), opened(str(packed)):
        pass


def test_without_zstandard_a_zstd_layer_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = repacked(tmp_path, zstandard.compress)
    monkeypatch.setitem(sys.modules, "zstandard", None)

    with pytest.raises(ImageError, match="pip install zstandard"), opened(str(packed)):
        pass


def repacked(tmp_path: Path, pack: Callable[[bytes], bytes]) -> Path:
    """Save an image whose layer is packed, as a registry's layers are."""
    plain, packed = build.saved_image(tmp_path / "plain.tar", [{TORCH: b"x"}]), tmp_path / "packed.tar"
    with tarfile.open(plain) as source, tarfile.open(packed, "w") as target:
        for member in source:
            data = source.extractfile(member).read()  # type: ignore[union-attr]
            if member.name.endswith("layer.tar"):
                data = pack(data)
            member.size = len(data)
            target.addfile(member, io.BytesIO(data))
    return packed


def test_an_image_is_audited_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    saved = build.saved_image(tmp_path / "image.tar", [{TORCH: b"__version__ = '2.8.0+cu128'\ncuda = '12.8'\n"}])

    with opened(str(saved)) as target:
        assert (f"/{SITE}",) == target.sites
        assert target.python == (3, 12)

    assert [saved] == list(tmp_path.iterdir())


@pytest.mark.parametrize("data", [b"", b"no tar", bytes(10240)])
def test_what_is_no_image_is_said_so(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "image.tar"
    file.write_bytes(data)

    with pytest.raises(ImageError, match=r"image\.tar"), opened(str(file)):
        pass


PATHS = st.lists(st.sampled_from(["a", "b", "x.so", "c"]), min_size=1, max_size=3).map("/".join)
ENTRIES = st.dictionaries(PATHS, st.sampled_from([None, "/a", "../..", "b"]), max_size=6)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(ENTRIES, st.lists(PATHS, max_size=2), st.lists(PATHS, max_size=1)), max_size=4))
def test_any_layers_are_laid_out_within_the_root(
    tmp_path_factory: pytest.TempPathFactory, layers: list[tuple[dict[str, str | None], list[str], list[str]]]
) -> None:
    folder = tmp_path_factory.mktemp("layers")
    spooled = folder / "spooled"
    spooled.write_bytes(b"x")
    made = [
        Layer(
            {path: Entry(link=link) if link else Entry(spooled) for path, link in entries.items()},
            hidden,
            emptied,
        )
        for entries, hidden, emptied in layers
    ]
    root = folder / "root"
    root.mkdir()

    try:
        materialise(merge(made), root)
    except (OSError, LayerError):
        return

    assert {"spooled", "root"} == {path.name for path in folder.iterdir()}
