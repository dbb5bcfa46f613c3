"""The matrix says what the records say, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from blackstack import catalog, matrix
from blackstack.errors import BlockedError
from blackstack.matrix import evidence
from tests.unit.conftest import REPOSITORY

GPU_STACK = """
name: toy
x-stack:
  title: a toy
  engine: vllm
  engine_version: 0.11.0
  model: gpt-oss-20b
  status: reported
  evidence: none
  ready_s: 60
  needs: {memory_gib: 1, disk_gib: 1, vram_gib: 24, compute_capability: "12.0"}
  knobs:
    IMAGE: {type: text, about: image}
    BIND_ADDRESS: {type: address, about: address}
    PORT: {type: port, about: port}
services:
  server:
    image: ${IMAGE:-vllm/vllm-openai:v0.11.0}
    command: [m]
    ports: ["${BIND_ADDRESS:-127.0.0.1}:${PORT:-8000}:8000"]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one GPU stack and this one's audit records and reports."""
    (tmp_path / "compose").mkdir()
    (tmp_path / "compose" / "toy.yaml").write_text(GPU_STACK)
    shutil.copytree(REPOSITORY / "results" / "audit", tmp_path / "results" / "audit")
    shutil.copytree(REPOSITORY / "results" / "reported", tmp_path / "results" / "reported")
    reports = tmp_path / "results" / "reported" / "seeds.yaml"
    reports.write_text(reports.read_text(encoding="utf-8").replace("stack: vllm-official", "stack: toy"))
    return tmp_path


def built(root: Path) -> matrix.Row:
    return matrix.build(root, catalog.load_all(root)).rows[0]


def record(**ran_on: object) -> dict[str, Any]:
    run = {"concurrency": 1, "output_tokens_per_s": 150.0, "tpot_ms": {"mean": 6.0, "ci95": [5.0, 8.0]}}
    return {
        "measured_at": "2026-11-20T10:00:00+00:00",
        "complete": True,
        "asked_for": {"stack": "toy"},
        "found_inside": {"attention_backend": "TRITON_ATTN"},
        "ran_on": ran_on,
        "runs": [run],
    }


def test_what_the_audit_showed_stands_in_the_cells_of_the_pinned_versions(root: Path) -> None:
    cells = built(root).cells["12.0"]

    assert (cells["loads"].text, cells["loads"].source) == ("yes", "results/audit/truth.json")
    assert cells["runs on"].text.startswith("yes")
    assert "_vllm_fa3_C" in cells["runs on"].text
    assert cells["runs on"].provenance == "measured here"


def test_hopper_runs_what_blackwell_cannot(root: Path) -> None:
    cells = built(root).cells["9.0"]

    assert "_vllm_fa3_C" not in cells["runs on"].text


def test_a_report_of_this_recipe_is_shown_as_a_report(root: Path) -> None:
    cells = built(root).cells["12.0"]

    assert (cells["serves"].text, cells["serves"].provenance) == ("yes", "reported by the seeds")
    assert cells["tokens/s"].text == "136 to 143"
    assert cells["tokens/s"].date == "2025-10-17"


def test_a_report_of_the_same_versions_in_another_image_says_nothing(root: Path) -> None:
    reports = root / "results" / "reported" / "seeds.yaml"
    reports.write_text(reports.read_text(encoding="utf-8").replace("stack: toy", "stack: other"))

    assert built(root).cells["12.0"]["serves"].text == "-"


def test_every_report_of_a_stack_names_one_that_there_is() -> None:
    named = {row["stack"] for row in evidence.reported(REPOSITORY) if "stack" in row}

    assert named <= set(catalog.names(REPOSITORY))


def test_a_report_of_a_5090_says_nothing_of_hopper(root: Path) -> None:
    assert built(root).cells["9.0"]["serves"].provenance == "not verified"


def test_a_measurement_counts_more_than_a_report(root: Path) -> None:
    (root / "results" / "toy.json").write_text(json.dumps(record(gpus=[{"compute_capability": "12.0"}])))

    cells = built(root).cells["12.0"]

    assert cells["serves"].provenance == "measured here"
    assert cells["tokens/s"].text == "150.0 at concurrency 1 (decode 166.7, 95 %: 125.0 to 200.0)"
    assert cells["attention"].text == "TRITON_ATTN"


def test_a_measurement_counts_for_the_card_that_it_was_made_on(root: Path) -> None:
    (root / "results" / "toy.json").write_text(json.dumps(record(gpus=[{"compute_capability": "9.0"}])))

    row = built(root)

    assert row.cells["9.0"]["serves"].provenance == "measured here"
    assert row.cells["12.0"]["serves"].provenance == "reported by the seeds"


def test_a_card_that_only_says_its_name_is_looked_up(root: Path) -> None:
    (root / "results" / "toy.json").write_text(json.dumps(record(gpus=[{"name": "NVIDIA H200"}])))

    assert built(root).cells["9.0"]["serves"].provenance == "measured here"


def test_an_incomplete_measurement_is_no_evidence(root: Path) -> None:
    incomplete = {**record(gpus=[{"compute_capability": "9.0"}]), "complete": False}
    (root / "results" / "toy.json").write_text(json.dumps(incomplete))

    assert built(root).cells["9.0"]["serves"].text == "-"


def test_a_build_is_shown_with_its_size_and_its_audit(root: Path) -> None:
    text = GPU_STACK.replace("  knobs:", "  build: {dockerfile: dockerfiles/toy/Dockerfile}\n  knobs:", 1)
    (root / "compose" / "toy.yaml").write_text(text)
    (root / "dockerfiles" / "toy").mkdir(parents=True)
    (root / "dockerfiles" / "toy" / "Dockerfile").write_text("FROM scratch\n")
    (root / "dockerfiles" / "toy" / "constraints.txt").write_text("torch==2.8.0\nvllm==0.11.0\n")
    assert built(root).cells["12.0"]["builds"].text == "-"
    (root / "results" / "builds").mkdir()
    runs = {"native": 80, "ptx": 20, "total": 120}
    packages = {"vllm": {"loads": "ok", "runs": runs}, "torch": {"loads": "ok", "runs": None}}
    audit = {"verdict": "ok", "gpu": "12.0", "packages": packages}
    inside = {"size_bytes": 12_300_000_000, "seal": {"audit": audit}}
    told = {**record(), "found_inside": inside, "kind": "build"}
    (root / "results" / "builds" / "toy-1.json").write_text(json.dumps(told))

    row = built(root)

    assert row.cells["12.0"]["builds"].text == "yes, 12.3 GB, audit: ok"
    assert row.pins.torch == "2.8.0"
    assert row.cells["12.0"]["loads"].text == "yes, 2 packages"
    assert row.cells["12.0"]["runs on"].text == "yes: 80 native, 20 by JIT, of 120"
    assert row.cells["9.0"]["runs on"].source == "results/audit/coverage.json"


@pytest.mark.parametrize(
    ("end", "told"), [("OK (skipped=2)", "yes, 18 tests, no GPU"), ("FAILED (failures=1)", "no, 18 tests, no GPU")]
)
def test_a_kept_smoke_test_is_shown_as_it_ended(root: Path, end: str, told: str) -> None:
    (root / "results" / "builds").mkdir()
    record = f"nox -s smoke(toy)  # 2026-11-21, no GPU\n\nRan 18 tests in 5.0s\n{end}\n"
    (root / "results" / "builds" / "toy-smoke.txt").write_text(record)

    cell = built(root).cells["12.0"]["smokes"]

    assert (cell.text, cell.date) == (told, "2026-11-21")


@pytest.mark.parametrize(
    ("package", "torch", "fine"),
    [
        ("vllm 0.11.0", "2.8.0", True),
        ("vllm 0.11.0", "2.10.0+cu128", False),
        ("sgl-kernel 0.3.9.post2", "2.7.1", False),
    ],
)
def test_a_pair_that_was_tried_has_its_verdict(package: str, torch: str, fine: bool) -> None:  # noqa: FBT001
    answer = evidence.loads(REPOSITORY, package, torch)

    assert answer
    assert answer[0] is fine


def test_a_pair_that_was_not_tried_has_none() -> None:
    assert evidence.loads(REPOSITORY, "vllm 0.11.0", "1.0.0") is None


def test_a_record_that_is_no_json_is_named(root: Path) -> None:
    (root / "results" / "broken.json").write_text("{")

    with pytest.raises(BlockedError, match=r"broken\.json"):
        built(root)


def test_every_report_says_whose_it_is_and_what_is_known_now() -> None:
    for row in evidence.reported(REPOSITORY):
        assert row["report"].startswith("seed")
        assert row["now"]
        assert row["known_by"]
        assert {row[key] for key in ("builds", "loads", "serves")} <= {"yes", "no", "-"}


def test_the_page_in_the_documents_is_as_new_as_its_records() -> None:
    found = matrix.build(REPOSITORY, catalog.load_all(REPOSITORY))

    assert (REPOSITORY / "docs" / "matrix.md").read_text(encoding="utf-8") == matrix.page(found), "next: inv matrix"


def test_the_page_has_each_stack_and_each_report(root: Path) -> None:
    text = matrix.page(matrix.build(root, catalog.load_all(root)))

    assert "`toy`" in text
    assert text.count("RTX 5090") >= 1
    assert all(str(row["what"]) in text for row in evidence.reported(root))
    assert json.dumps(matrix.build(root, catalog.load_all(root)).as_dict())
