"""`inv compare` and `inv report` as verbs: what they take, what they print, and their exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from blackstack import catalog, results
from blackstack.bench import Workload
from blackstack.errors import UsageError
from blackstack.results.write import pretty
from blackstack.verbs import measuring
from blackstack.verbs.choose import ROOT, placeless
from blackstack.verbs.comparing import BASELINES, Sides, compare, read, stale
from blackstack.verbs.reporting import Wanted, report
from tests.unit.conftest import REPOSITORY
from tests.unit.records import record


def written(folder: Path, name: str, *, speed: float = 1.0, repeats: int = 4, seed: int = 0) -> str:
    """Write a record and return its path."""
    path = folder / f"{name}.json"
    path.write_text(pretty(record(name, speed=speed, repeats=repeats, seed=seed).model_dump(by_alias=True)))
    return str(path)


def test_a_slower_server_is_exit_code_1_and_says_which_measure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = written(tmp_path, "a"), written(tmp_path, "b", speed=0.8, seed=1)

    assert compare(Sides(a=a, b=b, fail_if_slower=0.05), Workload()) == 1
    said = capsys.readouterr()
    assert "b is slower than a" in said.out
    assert "FAIL: output tokens/s at concurrency 1 is" in said.err


def test_what_is_no_slower_is_exit_code_0(tmp_path: Path) -> None:
    a, b = written(tmp_path, "a"), written(tmp_path, "b", speed=1.25, seed=1)

    assert compare(Sides(a=a, b=b, fail_if_slower=0.05), Workload()) == 0


def test_a_gate_wants_repeats(tmp_path: Path) -> None:
    a, b = written(tmp_path, "a", repeats=1), written(tmp_path, "b", repeats=1)

    with pytest.raises(UsageError, match="needs repeats"):
        compare(Sides(a=a, b=b, fail_if_slower=0.05), Workload())


def test_with_json_the_comparison_is_all_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = written(tmp_path, "a"), written(tmp_path, "b", speed=1.25, seed=1)

    compare(Sides(a=a, b=b, as_json=True), Workload())

    assert json.loads(capsys.readouterr().out)["verdict"] == "faster"


def test_markdown_is_a_table_and_folds_what_else_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = written(tmp_path, "a"), written(tmp_path, "b", speed=1.25, seed=1)

    compare(Sides(a=a, b=b, as_markdown=True), Workload())

    said = capsys.readouterr().out
    assert "| load | measure |" in said
    assert "<details>" in said


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 99}', '{"schema": 2, "runs": [{}]}', "\x00"])
def test_what_is_no_record_is_refused_without_a_traceback(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)

    with pytest.raises(UsageError):
        read([str(path)])


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'llamacpp-cpu'\?"):
        read(["llamacp-cpu"])


def test_two_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
    paths = [written(tmp_path / folder, "c") for folder in ("old", "new")]

    assert [record.name for record in read(paths)] == [path.removesuffix(".json") for path in paths]
    assert [record.name for record in read(paths[:1])] == ["c"]


def test_a_stacks_baseline_is_held_against_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = str(shutil.copy(BASELINES / "llamacpp-cpu.json", tmp_path / "mine.json"))

    assert compare(Sides(a="llamacpp-cpu", b=mine), Workload()) == 0
    assert "mine against llamacpp-cpu: no difference shown" in capsys.readouterr().out
    with pytest.raises(UsageError, match=r"simulator and .* are a file and a stack") as caught:
        compare(Sides(a="simulator", b=mine), Workload())
    assert "simulator has no baseline" in str(caught.value)


def test_an_older_record_is_read() -> None:
    old = results.load(REPOSITORY / "results/llamacpp-cpu-process-2026-11-21.json")

    assert old.schema_version == 1
    assert old.runs[0].cooldown is None
    assert old.runs[0].output_tokens_per_s == 93.849


def test_a_record_of_another_pin_is_stale() -> None:
    one = record("llamacpp-cpu")
    now = measuring.pins(catalog.load(REPOSITORY, "llamacpp-cpu"))
    fresh = one.model_copy(update={"asked_for": {**one.asked_for, "pins": now}})
    old = one.model_copy(update={"asked_for": {**one.asked_for, "pins": {**now, "engine_version": "1.0"}}})

    assert list(stale(fresh)) == []
    (note,) = stale(old)
    assert f"engine_version 1.0 → {now['engine_version']}" in note


@pytest.mark.parametrize("path", sorted(BASELINES.glob("*.json")), ids=lambda path: path.stem)
def test_committed_baselines_are_whole_and_of_the_versions_that_are_pinned(path: Path) -> None:
    """When a pin moves, its baseline is measured anew: CONTRIBUTING tells how."""
    baseline = results.load(path)

    if baseline.reported:
        assert all("not reproduced here" in one.provenance for one in baseline.reported)
        assert not baseline.complete
        return
    assert baseline.complete
    assert list(stale(baseline)) == []
    assert all(run.failed == 0 and not run.client.bound for run in baseline.runs)
    assert max(run.repeat for run in baseline.runs) >= 2


def test_a_report_is_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = written(tmp_path, "a"), written(tmp_path, "b", speed=1.25, seed=1)

    report(Wanted(records=(a, b), out=str(tmp_path / "new" / "report.html")))

    text = (tmp_path / "new" / "report.html").read_text()
    assert "b is faster than a" in text
    assert "written: " in capsys.readouterr().out


def test_a_report_of_what_cannot_be_compared_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = written(tmp_path, "a")
    other = record("b").model_dump(by_alias=True)
    other["asked_for"]["workload"]["prompts"] = "code"
    (tmp_path / "b.json").write_text(json.dumps(other))

    report(Wanted(records=(a, str(tmp_path / "b.json")), out=str(tmp_path / "r.html")))

    assert "did different work" in capsys.readouterr().err
    assert 'id="comparison"' not in (tmp_path / "r.html").read_text()


def test_a_report_as_markdown_writes_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a = written(tmp_path, "a")
    monkeypatch.chdir(tmp_path)

    report(Wanted(records=(a,), as_markdown=True))

    assert "## a" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_json_of_a_record_comes_back_whatever_its_shape() -> None:
    odd = {"a": [1, -2.5e-7, None], "b": ["x, y", "z" * 200], "c": [[1] * 300, {"d": "ü"}], "e": {}, "f": []}

    assert json.loads(pretty(odd)) == odd
    assert max(map(len, pretty([0.123456] * 2000).splitlines())) <= 120


def test_a_record_names_no_folder_of_the_checkout() -> None:
    told = {"root": f"{ROOT}/.blackstack/cache", "said": [f"read {ROOT}/env", 1, None]}

    assert placeless(told) == {"root": "./.blackstack/cache", "said": ["read ./env", 1, None]}
