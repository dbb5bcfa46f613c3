"""Several files change as one, whenever the one who changes them is killed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from blackstack import change
from blackstack.errors import BlackstackError

OLD = {"env/toy.env": "IMAGE=old\n", "compose/toy.yaml": "image: old\n", "results/baselines/toy.json": None}
NEW = {"env/toy.env": "IMAGE=new\n", "compose/toy.yaml": "image: new\n", "results/baselines/toy.json": "{}\n"}

TOUCHES = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod"}


def apply_and_die(root: Path, last: int) -> bool:
    """Make the change in a process that is killed before the Nth time it touches the folder; tell if it was."""
    child = os.fork()
    if not child:
        seen = 0

        def watch(event: str, args: tuple[object, ...]) -> None:
            nonlocal seen
            if event in TOUCHES and str(root) in str(args[0]):
                seen += 1
                if seen == last:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        change.apply(new(root), root, "toy")
        os._exit(0)
    _, ended = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended) in {0, -signal.SIGKILL}
    return os.WIFSIGNALED(ended)


def fill(root: Path) -> None:
    """Write the old state, all folders there: or the Nth touch would be another one each time."""
    (root / ".blackstack/run/toy").mkdir(parents=True, exist_ok=True)
    for name, text in OLD.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text) if text else (root / name).unlink(missing_ok=True)


def state(root: Path) -> dict[str, str | None]:
    """Return what the files hold."""
    return {name: (root / name).read_text() if (root / name).exists() else None for name in OLD}


def left(root: Path) -> list[str]:
    """Return the files that are no file of the state."""
    return [
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and str(path.relative_to(root)) not in OLD
    ]


def new(root: Path) -> change.Change:
    """Return the change of these tests."""
    return change.Change(says="the test", files={root / name: text for name, text in NEW.items()})


def test_files_change_together_and_nothing_else_is_left(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "env/toy.env").chmod(0o640)

    change.apply(new(tmp_path), tmp_path, "toy")

    assert state(tmp_path) == NEW
    assert left(tmp_path) == []
    assert (tmp_path / "env/toy.env").stat().st_mode & 0o777 == 0o640


def test_killed_at_any_step_it_is_the_old_or_the_new(tmp_path: Path) -> None:
    ends = []
    for last in range(1, 200):
        fill(tmp_path)
        if not apply_and_die(tmp_path, last):
            break
        half_way = change.unfinished(tmp_path, "toy")
        assert half_way or state(tmp_path) in (OLD, NEW)

        assert change.mend(tmp_path, "toy") == ("the test" if half_way else None)

        assert state(tmp_path) == (NEW if half_way else state(tmp_path))
        assert left(tmp_path) == []
        ends.append("new" if state(tmp_path) == NEW else "old")
    else:
        pytest.fail("it never came to its end")

    assert last > 15
    assert ends == sorted(ends, reverse=True)  # once it is the new state, no later step brings the old one back
    assert set(ends) == {"old", "new"}


def test_a_file_that_cannot_be_written_leaves_all_as_they_were(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "in-the-way").write_text("a file, not a folder")
    files = {**new(tmp_path).files, tmp_path / "in-the-way/x.json": "{}"}

    with pytest.raises(OSError, match="in-the-way"):
        change.apply(change.Change(says="the test", files=files), tmp_path, "toy")

    assert state(tmp_path) == OLD
    assert left(tmp_path) == ["in-the-way"]


def test_a_file_that_was_changed_by_hand_in_between_is_not_written_over(tmp_path: Path) -> None:
    fill(tmp_path)
    journal = tmp_path / ".blackstack/run/toy/change.json"
    assert any(apply_and_die(tmp_path, last) and journal.exists() for last in range(1, 200))
    fill_env = tmp_path / "env/toy.env"
    for draft in tmp_path.rglob(".*-draft"):
        draft.unlink()
    fill_env.write_text("IMAGE=by hand\n")

    with pytest.raises(BlackstackError, match="was changed since"):
        change.mend(tmp_path, "toy")

    assert fill_env.read_text() == "IMAGE=by hand\n"


def test_a_journal_of_somebody_else_is_not_obeyed(tmp_path: Path) -> None:
    journal = tmp_path / "root/.blackstack/run/toy/change.json"
    journal.parent.mkdir(parents=True)
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    for text in ('{"says": "x", "files": {"../outside.txt": null}, "tags": {}}', "half a fi"):
        journal.write_text(text)
        with pytest.raises(BlackstackError, match="journal"):
            change.mend(tmp_path / "root", "toy")

    assert outside.read_text() == "mine"
