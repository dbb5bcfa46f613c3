"""What `inv bench` prints of a record: every row says which run it is."""

from __future__ import annotations

from blackstack.report.tables import number
from blackstack.verbs.measuring import _table
from tests.unit.records import record


def test_repeats_are_numbered_and_followed_by_their_median() -> None:
    one = record(repeats=3, loads=(1, 4))
    rates = sorted(run.output_tokens_per_s for run in one.runs if run.concurrency == 4)

    heads, rows = _table(one)

    assert heads[:3] == ("CONCURRENCY", "REPEAT", "REQUESTS")
    assert [row[:2] for row in rows[4:]] == [("4", "1 of 3"), ("4", "2 of 3"), ("4", "3 of 3"), ("4", "median")]
    assert rows[7][-2] == f"{rates[1]:.1f}"
    assert number(rates[1]) == rows[7][-2]


def test_one_run_a_load_needs_no_column_of_repeats() -> None:
    heads, rows = _table(record(loads=(1, 4)))

    assert heads[:2] == ("CONCURRENCY", "REQUESTS")
    assert [row[0] for row in rows] == ["1", "4"]


def test_an_open_loop_is_named_by_its_rate() -> None:
    one = record(loads=(4,))
    paced = one.model_copy(update={"runs": (one.runs[0].model_copy(update={"rate": 2.5}),)})

    heads, rows = _table(paced)

    assert (heads[0], rows[0][0]) == ("RATE", "2.5/s")


def test_a_run_in_which_nothing_came_back_has_a_row_all_the_same() -> None:
    one = record(loads=(4,))
    nothing = one.runs[0].model_copy(update={"ok": 0, "failures": {"timeout": 3}, "output_tokens_per_s": 0.0})

    _, rows = _table(one.model_copy(update={"runs": (nothing,)}))

    assert rows == [("4", "40", "-", "-", "-", "-", "0.0", "3")]
