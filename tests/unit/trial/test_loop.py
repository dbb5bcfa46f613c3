"""A run goes on whatever happens to one cell, keeps what is done, and ends where the machine is not clean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from blackstack.errors import BlockedError
from blackstack.trial.cell import Cell, Evidence, Quality, Trial
from blackstack.trial.folder import Folder
from blackstack.trial.loop import Run

from .conftest import trial

MakeCell = Callable[[str], Cell]


@dataclass
class Watcher:
    """Notes what it is told."""

    begun: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def begins(self, cell: Cell, number: int, of: int) -> None:
        """A cell is tried."""
        self.begun.append(f"{number}/{of} {cell.label}")

    def ended(self, trial: Trial, *, kept: bool) -> None:
        """A trial is there."""
        if kept:
            self.kept.append(trial.label)


def run_in(root: Path, attempt: Callable[[Cell], Trial], *, fresh: bool = False, plan: str = "one") -> Run:
    """A run in a folder of its plan."""
    folder = Folder.of(root, "backends toy", {"plan": plan}, fresh=fresh)
    return Run(folder=folder, attempt=attempt, clean=lambda _cell: None, teller=Watcher())


def test_what_is_kept_is_not_tried_again(tmp_path: Path, cell: MakeCell) -> None:
    run_in(tmp_path, lambda tried: trial(tried.label, 100.0)).all([cell("a"), cell("b")])

    again = run_in(tmp_path, lambda tried: trial(tried.label, 200.0))
    found = again.all([cell("a"), cell("b"), cell("c")], of=3)

    assert [one.seen.rates for one in found] == [(100.0,), (100.0,), (200.0,)]
    assert isinstance(again.teller, Watcher)
    assert (again.teller.begun, again.teller.kept) == (["3/3 c"], ["a", "b"])


def test_another_plan_or_a_fresh_run_keeps_nothing_of_the_old_one(tmp_path: Path, cell: MakeCell) -> None:
    run_in(tmp_path, lambda tried: trial(tried.label, 100.0)).one(cell("a"))

    other = run_in(tmp_path, lambda tried: trial(tried.label, 200.0), plan="two").one(cell("a"))
    fresh = run_in(tmp_path, lambda tried: trial(tried.label, 300.0), fresh=True).one(cell("a"))

    assert (other.seen.rates, fresh.seen.rates) == ((200.0,), (300.0,))


def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on_there(tmp_path: Path, cell: MakeCell) -> None:
    def interrupted(tried: Cell) -> Trial:
        if tried.label == "b":
            raise KeyboardInterrupt
        return trial(tried.label, 100.0)

    with pytest.raises(KeyboardInterrupt):
        run_in(tmp_path, interrupted).all([cell("a"), cell("b")])

    again = run_in(tmp_path, lambda tried: trial(tried.label, 200.0))
    assert [one.seen.rates for one in again.all([cell("a"), cell("b")])] == [(100.0,), (200.0,)]


def test_half_a_file_is_no_trial(tmp_path: Path, cell: MakeCell) -> None:
    first = run_in(tmp_path, lambda tried: trial(tried.label, 100.0))
    first.one(cell("a"))
    (kept,) = (path for path in first.folder.path.glob("a-*.json"))
    kept.write_text(kept.read_text()[:40])

    assert run_in(tmp_path, lambda tried: trial(tried.label, 200.0)).one(cell("a")).seen.rates == (200.0,)


def test_labels_that_look_alike_as_files_are_two_trials(tmp_path: Path, cell: MakeCell) -> None:
    run = run_in(tmp_path, lambda tried: trial(tried.label, float(len(tried.label))))
    run.all([cell("kv=q8 0"), cell("kv=q8/0/")])

    assert run.folder.get("kv=q8 0") != run.folder.get("kv=q8/0/")


def test_a_machine_that_does_not_come_clean_ends_the_run_and_keeps_the_trial(tmp_path: Path, cell: MakeCell) -> None:
    def dirty(_cell: Cell) -> None:
        raise BlockedError("the machine is not clean")

    run = run_in(tmp_path, lambda tried: trial(tried.label, 100.0))
    run.clean = dirty
    with pytest.raises(BlockedError):
        run.all([cell("a"), cell("b")])

    assert run.folder.get("a")
    assert run.folder.get("b") is None


def test_clearly_fewer_right_answers_than_the_best_are_wrong_answers(tmp_path: Path, cell: MakeCell) -> None:
    right = {"default": 1, "a": 5, "b": 4, "c": 3}
    run = run_in(tmp_path, lambda tried: trial(tried.label, 100.0, right=right[tried.label]))
    run.all(map(cell, right))

    assert [one.outcome for one in run.judged()] == ["wrong answers", "works", "works", "wrong answers"]
    assert run.judged()[0].why == "1 of 5 answers are right, where 5 were"


def test_a_trial_is_the_same_after_it_was_kept(tmp_path: Path, cell: MakeCell) -> None:
    run = run_in(tmp_path, lambda tried: trial(tried.label, 1.5, 2.5, right=3))
    made = run.one(cell("a"))

    assert run.folder.get("a") == made


def test_a_cell_becomes_json(cell: MakeCell) -> None:
    evidence = Evidence(asked="x", seen=("(x)",), names={"y": "x"})

    assert cell("a").as_dict()["label"] == "a"
    assert evidence.asked == "x"


def test_what_says_more_of_the_machine_than_of_the_cell_is_tried_anew(tmp_path: Path, cell: MakeCell) -> None:
    blocked = Trial(label="a", stack="toy", about="", outcome="refused", why="port 8080 is taken", again=True)
    run_in(tmp_path, lambda _tried: blocked).one(cell("a"))

    found = run_in(tmp_path, lambda tried: trial(tried.label, 100.0)).one(cell("a"))

    assert found.works


def test_random_weights_are_not_held_to_their_answers(tmp_path: Path, cell: MakeCell) -> None:
    broken = Quality(asked=5, right=0, degenerate=5)
    noisy = replace(trial("a", 100.0), asked_for={"noise": True})
    noisy = replace(noisy, seen=replace(noisy.seen, quality=broken))

    assert run_in(tmp_path, lambda _tried: noisy).one(cell("a")).works
