"""Two stacks are started, measured and stopped in turn, and what is printed is the comparison."""

from __future__ import annotations

import json

import pytest

from .conftest import Shell, free_port, read_until

QUICK = ("--runtime", "process", "--rounds", "3", "--requests", "8", "--output-tokens", "8", "--concurrency", "2")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_started_stacks_are_compared_in_turn(shell: Shell) -> None:
    """The same stack twice, once with less context: whatever the verdict, it says how it was come by."""
    env = {"PORT": str(free_port())}

    said = shell.inv("compare", "llamacpp-cpu", "llamacpp-cpu:long", *QUICK, "--json", env=env, timeout=500)

    rounds = [line for line in said.err.splitlines() if line.startswith("round ")]
    assert [line.partition(": ")[2] for line in rounds] == ["llamacpp-cpu", "llamacpp-cpu:long"] * 3, said.all
    assert said.err.count("llamacpp-cpu is down") == 6
    assert shell.processes() == []
    records = [json.loads(path.read_text()) for path in sorted((shell.root / "results").glob("llamacpp-cpu*.json"))]
    assert [sorted(run["repeat"] for run in record["runs"]) for record in records] == [[0, 1, 2]] * 2
    if said.code == 1:  # other work on this machine: then there is no comparison, and it says why
        assert "the client was too busy" in said.err
        assert said.out == ""
        return
    assert said.code == 0, said.all
    told = json.loads(said.out)
    assert {effect["basis"] for effect in told["effects"]} == {"repeats"}
    assert "A B A B" in told["method"]
    changed = {one["name"]: (one["a"], one["b"]) for one in told["differences"]}
    assert changed["asked_for.settings.PARALLEL"] == ("4", "1")


def test_what_cannot_be_compared_is_refused_before_anything_starts(shell: Shell) -> None:
    mixed = shell.inv("compare", "llamacpp-cpu", "results/none.json")
    unknown = shell.inv("compare", "llamacp-cpu", "vllm-cpu")
    share = shell.inv("compare", "llamacpp-cpu", "vllm-cpu", "--fail-if-slower", "much")

    assert (mixed.code, unknown.code, share.code) == (2, 2, 2)
    assert "a file and a stack" in mixed.err
    assert "--fail-if-slower takes a number" in share.err
    assert shell.processes() == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ctrl_c_between_and_in_rounds_leaves_nothing_running(shell: Shell) -> None:
    """Interrupted while the second server is up."""
    process = shell.begin("compare", "llamacpp-cpu", "llamacpp-cpu:long", *QUICK, env={"PORT": str(free_port())})
    read_until(process, "round 1 of 3, B", seconds=300)
    read_until(process, "bench http", seconds=60)
    process.send_signal(2)
    _, err = process.communicate(timeout=100)

    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert shell.processes() == []
