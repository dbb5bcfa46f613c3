"""A file is the old one or the new one, whoever looks and whatever happens."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from blackstack.files import write_whole


def test_a_file_is_written_with_its_folder_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/name.json"

    write_whole(path, "älter\n")
    write_whole(path, "new\n")

    assert path.read_text(encoding="utf-8") == "new\n"
    assert [one.name for one in path.parent.iterdir()] == ["name.json"]


def test_what_cannot_be_written_leaves_the_old_one_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "name.json"
    write_whole(path, "old\n")

    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half of it \ud800")

    assert path.read_text() == "old\n"
    assert [one.name for one in tmp_path.iterdir()] == ["name.json"]


def test_a_reader_never_sees_half_of_one(tmp_path: Path) -> None:
    path, done = tmp_path / "name.json", threading.Event()
    texts = {letter * (1 << 20) for letter in "ab"}
    write_whole(path, "a" * (1 << 20))
    seen: set[str] = set()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        for text in sorted(texts):
            write_whole(path, text)
    done.set()
    reader.join()

    assert seen <= texts
