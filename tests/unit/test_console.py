"""Tables are easy to read on a narrow terminal, with no word cut, and whole in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest

from blackstack import catalog, console
from blackstack.trial import table as trials
from blackstack.verbs import fitting, knowing

from .conftest import REPOSITORY


def printed(show: Callable[[], object], width: int | None, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines that are printed on a terminal of so many columns; None is a pipe."""
    with pytest.MonkeyPatch.context() as patch:
        if width:
            patch.setattr(console.out, "width", width)
        show()
    return capsys.readouterr().out.splitlines()


def words(lines: Sequence[str]) -> set[str]:
    """Return the words of lines; the head of the names is not said above blocks, the others in small letters."""
    return {word for line in lines for word in line.lower().split()} - {"trial", "stack", "knob", "profile"}


def list_cards() -> None:
    question = {"model": "list", "gpu": None, "engine": "vllm", "context": None, "concurrency": 1, "kv_dtype": "auto"}
    more = {"utilization": None, "sequences": None, "tp": 1, "pool_gib": None, "assume": None, "as_json": False}
    fitting.answer(fitting.Question(**question, **more))  # type: ignore[arg-type]


def show_trials() -> None:
    row = ("attention=TRITON_ATTN", "failed", "not said", "1234.5", "1200.0 to 1300.0", "8/10", "120.0 s", "28.11 GiB")
    why = "the server ended while it loaded: the cache is too small for the context [kv-cache-too-small-for-max-len]"
    console.table(trials.HEADS, [(*row, why)] * 3)


TABLES: dict[str, Callable[[], object]] = {
    "all stacks": knowing.stacks,
    "all cards": list_cards,
    "trials": show_trials,
    **{name: partial(knowing.stacks, stack=name) for name in catalog.names(REPOSITORY)},
}


@pytest.mark.parametrize("what", TABLES)
@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_shows_every_table_within_its_width_and_cuts_no_word(
    what: str, width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = printed(TABLES[what], None, capsys)
    shown = printed(TABLES[what], width, capsys)

    assert max(map(len, shown)) <= width
    assert words(whole) == words(shown)


@pytest.mark.parametrize("what", TABLES)
def test_a_pipe_gets_a_line_a_row_without_blanks_at_its_end(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    whole = printed(TABLES[what], None, capsys)

    assert [line for line in whole if line != line.rstrip()] == []
    if what == "all stacks":
        assert [line.split()[0] for line in whole[1:]] == list(catalog.names(REPOSITORY))


def test_a_table_that_fits_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(lambda: console.table(("A", "B"), [("one", "two"), ("three", "four")], indent=2), 80, capsys)

    assert lines == ["  A      B", "  one    two", "  three  four"]


def test_columns_come_closer_before_a_cell_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("51.5 ms", "52.1 ms", "93.8")]

    assert printed(lambda: console.table(("TTFT", "GAP", "RATE"), rows), 20, capsys) == [
        "TTFT    GAP     RATE",
        "51.5 ms 52.1 ms 93.8",
    ]


def test_only_sentences_are_broken_and_only_between_words(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("vllm-pt210-flashinfer", "a sentence that is too long for the line")]

    assert printed(lambda: console.table(("STACK", "WHAT"), rows), 50, capsys) == [
        "STACK                  WHAT",
        "vllm-pt210-flashinfer  a sentence that is too long",
        "                       for the line",
    ]


def test_a_row_for_which_there_is_no_room_is_a_block(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("vllm-pt210-flashinfer", "", "a sentence that is too long for the line")]

    assert printed(lambda: console.table(("STACK", "NOTE", "WHAT"), rows), 30, capsys) == [
        "vllm-pt210-flashinfer",
        "  what  a sentence that is too",
        "        long for the line",
    ]


def test_a_block_shows_every_cell_also_under_heads_of_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a-long-name-of-a-row", "1", "2")]

    lines = printed(lambda: console.table(("NAME", "p99", "p99"), rows), 20, capsys)

    assert lines == ["a-long-name-of-a-row", "  p99  1", "  p99  2"]


def test_a_wide_letter_takes_two_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(lambda: console.table(("A", "B"), [("한국", "x")]), 80, capsys) == ["A     B", "한국  x"]


def test_a_sentence_is_broken_between_words_and_keeps_its_indent(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\na sentence that goes on\n  and one that is indented and long"

    assert printed(lambda: console.prose(text), 24, capsys) == [
        "",
        "a sentence that goes on",
        "  and one that is",
        "  indented and long",
    ]
    assert printed(lambda: console.prose(text), None, capsys) == text.split("\n")
