"""A record has three layers, or says which one it lacks; it is written whole or not at all."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from blackstack import results
from blackstack.errors import InterruptedRunError
from blackstack.interrupt import deferred, interruptible

FULL = results.Result(
    asked_for={"stack": "toy"}, found_inside={"engine": "toy 1"}, ran_on={"cpu": "a processor"}, measured={"runs": []}
)


def test_a_record_with_all_layers_is_complete(tmp_path: Path) -> None:
    path = results.save(FULL, tmp_path / "new" / "a.json")

    record = json.loads(path.read_text())
    assert record["complete"]
    assert record["asked_for"] == {"stack": "toy"}
    assert record["runs"] == []
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]


def test_a_record_that_lacks_a_layer_says_so() -> None:
    lacking = results.Result(asked_for={"url": "u"}, found_inside={}, ran_on={"cpu": "c"}, measured={"runs": []})

    assert lacking.as_dict()["missing"] == ["found_inside"]
    assert not lacking.as_dict()["complete"]


def test_a_name_that_is_taken_is_never_written_over(tmp_path: Path) -> None:
    first = results.default_path(tmp_path, "toy", "2026-11-21T04:05:06+00:00")
    first.touch()

    assert first.name == "toy-20261121T040506.json"
    assert results.default_path(tmp_path, "toy", "2026-11-21T04:05:06+00:00").name == "toy-20261121T040506-2.json"


def test_a_stack_cannot_write_outside_the_folder(tmp_path: Path) -> None:
    assert results.default_path(tmp_path, "../../etc/x", "2026-11-21T04:05:06+00:00").parent == tmp_path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_tells_what_it_leaves(number: signal.Signals) -> None:
    with pytest.raises(InterruptedRunError) as caught, interruptible() as interruption:
        interruption.leaves = "half a cake"
        signal.raise_signal(number)

    assert caught.value.exit_code == 130
    assert "half a cake" in str(caught.value)


def test_an_interruption_waits_for_what_must_not_stop_half_way() -> None:
    done = []

    with pytest.raises(InterruptedRunError), interruptible(), deferred():
        signal.raise_signal(signal.SIGINT)
        done.append("the other half")

    assert done == ["the other half"]
