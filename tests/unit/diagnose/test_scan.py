"""One pass sees every line of any log, in bounded memory."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstack.diagnose import stream
from blackstack.diagnose.scan import KEEP, Pattern, Scan, Scanner

if TYPE_CHECKING:
    from pathlib import Path

BOOM = Pattern("boom! number \\d+")
QUIET = Pattern("boom! number \\d+", unless="on purpose")
SCANNER = Scanner([BOOM, QUIET])


def scan(text: bytes) -> Scan:
    return SCANNER.scan(io.BytesIO(text))


def lines_of(text: bytes, pattern: Pattern = BOOM) -> list[int]:
    return [sighting.line for sighting in scan(text).of(pattern)]


def test_lines_are_numbered_as_an_editor_numbers_them() -> None:
    assert lines_of(b"all well\nBOOM! number 1\n\nboom! number 2") == [2, 4]


def test_a_line_can_be_taken_back_by_what_else_it_says() -> None:
    text = b"boom! number 1, on purpose\nboom! number 2\n"

    assert lines_of(text, BOOM) == [1, 2]
    assert lines_of(text, QUIET) == [2]


def test_progress_bars_that_rewrite_their_line_hide_nothing() -> None:
    (seen,) = scan(b"load\n" + b"\r 10% |##  |" * 9 + b"\rboom! number 7\r\nnext\n").of(BOOM)

    assert (seen.line, seen.text) == (2, "boom! number 7")


def test_colours_are_no_part_of_a_message() -> None:
    (seen,) = scan(b"\x1b[31mbo\x1b[0mom!\x1b]8;;x\x07 number \x1b[1m7\x1b[0m\n").of(BOOM)

    assert seen.text == "boom! number 7"


def test_what_powershell_writes_is_read() -> None:
    assert lines_of("all well\nboom! number 1\n".encode("utf-16")) == [2]


def test_binary_garbage_is_no_obstacle() -> None:
    garbage = bytes(range(256)) * 300

    (seen,) = scan(garbage + b"\nboom! number 1\n" + garbage).of(BOOM)

    assert seen.text == "boom! number 1"


def test_a_line_of_megabytes_is_searched_and_shown_in_part() -> None:
    (seen,) = scan(b"x" * 3_000_000 + b" boom! number 1 " + b"y" * 3_000_000 + b"\n").of(BOOM)

    assert seen.line == 1
    assert len(seen.text) < 5_000


def test_a_line_longer_than_a_block_is_seen_once_at_its_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BLOCK", 4096)
    monkeypatch.setattr(stream, "LONGEST_LINE", 1024)
    for shift in range(-300, 20):
        text = b"x" * (4096 + shift) + b"boom! number 1" + b"y" * 9000

        assert lines_of(text) == [1], shift


def test_of_a_flood_the_first_and_the_last_are_kept() -> None:
    flood = b"".join(b"boom! number %d\n" % n for n in range(1, 200_001))

    seen = scan(flood).of(BOOM)

    assert len(seen) == KEEP
    assert (seen[0].line, seen[-1].line) == (1, 200_000)


def test_the_end_of_a_log_is_kept_to_be_shown() -> None:
    found = scan(b"first\n" + b"\n".join(b"line %d" % n for n in range(2, 100)) + b"\n\n")

    assert found.tail[-1] == "line 99"
    assert found.tail[0] != "first"


def test_an_empty_log_is_a_log() -> None:
    assert scan(b"") == Scan(lines=0, tail=(), seen={})


@given(
    st.lists(st.sampled_from([b"boom! number 1", b"\n", b"\r", b"\0", b"\x1b[0m", b"fill ", b"bo"])),
    st.data(),
)
def test_what_is_seen_does_not_depend_on_how_the_log_is_cut(parts: list[bytes], data: st.DataObject) -> None:
    text = b"".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    class Dribble(io.RawIOBase):
        def read(self, _size: int = -1) -> bytes:
            while pieces:
                if piece := pieces.pop(0):
                    return piece
            return b""

    whole, dribbled = scan(text), SCANNER.scan(Dribble())

    assert whole.seen == dribbled.seen


def test_lines_of_text_and_files_are_logs_too(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"one\nboom! number 2\n")

    for log in (file, ["one", "boom! number 2"], [b"one\n", b"boom! number 2\n"]):
        assert [seen.line for seen in SCANNER.scan(log).of(BOOM)] == [2]


@pytest.mark.parametrize("anchors", [("boom", "oom! "), ("aaaa", "aaaaaa")])
def test_anchors_inside_one_another_are_all_found(anchors: tuple[str, str]) -> None:
    patterns = [Pattern(text) for text in anchors]

    found = Scanner(patterns).scan(["boom! aaaaaaaa"])

    assert all(found.of(p) for p in patterns if p.regex in "boom! aaaaaaaa")
