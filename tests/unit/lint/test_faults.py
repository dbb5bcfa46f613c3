"""Each fault of a table is found, by its own code, and nothing else is; files without a fault are left alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from blackstack import catalog
from blackstack.lint import RULES, examine
from tests.unit.conftest import REPOSITORY

HERE = Path(__file__).parent
FAULTS: list[dict[str, Any]] = YAML(typ="safe").load(HERE / "faults.yaml")
BASES = {
    **{name: HERE / f"{name}.yaml" for name in ("vllm", "sglang", "sglang-seed")},
    "vllm-cpu": REPOSITORY / "compose/vllm-cpu.yaml",
}


def broken(fault: dict[str, Any], folder: Path) -> Path:
    """Write the base with its fault."""
    text = BASES[fault["base"]].read_text()
    assert text.count(fault["old"]) >= 1, f"{fault['old']!r} is not in {fault['base']}"
    path = folder / "compose.yaml"
    path.write_text(text.replace(fault["old"], fault["new"], 1))
    return path


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault['code']}: {fault['new'].strip()[:40]}")
def test_a_fault_is_found_by_its_own_code_and_nothing_else_is(fault: dict[str, Any], tmp_path: Path) -> None:
    path = broken(fault, tmp_path)

    found = examine(path, label="compose.yaml")

    assert sorted({finding.code for finding in found}) == sorted({fault["code"], *fault.get("also", ())})
    first = next(finding for finding in found if finding.code == fault["code"])
    assert fault.get("says", "") in first.title
    if "line" in fault:
        number = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if fault["line"] in text)
        assert first.evidence[0].startswith(f"compose.yaml:{number}")


def test_the_table_has_a_fault_for_every_rule() -> None:
    assert {rule.code for rule in RULES} == {fault["code"] for fault in FAULTS}


@pytest.mark.parametrize("base", ["vllm", "sglang", "sglang-seed"])
def test_a_file_without_a_fault_is_left_alone(base: str) -> None:
    assert examine(BASES[base]) == ()


def test_what_an_included_file_may_declare_is_not_missed(tmp_path: Path) -> None:
    text = BASES["vllm"].read_text().replace("name: served", "name: served\ninclude: [other.yaml]")
    path = tmp_path / "compose.yaml"
    path.write_text(text.replace("    shm_size:", "    depends_on: [there]\n    networks: {inner: {}}\n    shm_size:"))

    assert [finding.code for finding in examine(path)] == ["other-file"]


@pytest.mark.parametrize("name", catalog.names(REPOSITORY))
def test_our_own_stacks_have_no_fault_in_any_profile(name: str) -> None:
    found = examine(REPOSITORY / f"compose/{name}.yaml", root=REPOSITORY)

    assert [finding for finding in found if finding.severity != "info"] == []


def test_every_finding_says_what_why_and_what_next(tmp_path: Path) -> None:
    for fault in FAULTS:
        for finding in examine(broken(fault, tmp_path)):
            assert finding.title
            assert finding.cause
            assert all(finding.fix)
            assert finding.evidence
            assert finding.source


def test_a_fault_that_only_a_profile_has_names_the_profile(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    for folder in ("compose", "env", "dockerfiles"):
        shutil.copytree(REPOSITORY / folder, root / folder)
    path = root / "compose/vllm-cpu.yaml"
    path.write_text(path.read_text().replace("set: {MAX_MODEL_LEN: 8192, ", "set: {DTYPE: int3, MAX_MODEL_LEN: 8192, "))

    (finding,) = examine(path, label="compose/vllm-cpu.yaml", root=root)

    assert finding.code == "flag-invalid-choice"
    assert finding.evidence[-1] == "with --profile long"


def test_what_the_catalogue_refuses_is_a_finding_with_its_line(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    for folder in ("compose", "env", "dockerfiles"):
        shutil.copytree(REPOSITORY / folder, root / folder)
    path = root / "compose/llamacpp-cpu.yaml"
    path.write_text(path.read_text().replace("  title:", "  titel:"))

    found = examine(path, label="compose/llamacpp-cpu.yaml", root=root)

    assert {finding.code for finding in found} == {"stack-file"}
    assert any("did you mean `title`" in finding.title for finding in found)


def test_a_key_that_must_be_given_opens_the_port_without_a_finding(tmp_path: Path) -> None:
    text = BASES["vllm"].read_text().replace("${BIND_ADDRESS:-127.0.0.1}:", "").replace("${API_KEY:-}", "${API_KEY:?x}")
    path = tmp_path / "compose.yaml"
    path.write_text(text)

    assert examine(path) == ()


def test_what_the_x_stack_block_says_of_the_version_comes_before_the_image_s_tag(tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    block = "x-stack: {engine: vllm, engine_version: 0.11.0}\n"
    path.write_text(block + BASES["vllm"].read_text().replace("--enforce-eager", "--lora-extra-vocab-size=256"))

    assert "flag-removed" not in {finding.code for finding in examine(path)}


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(BASES["vllm"].read_text().replace("${API_KEY:-}", "hunter2secret"))

    assert "hunter2" not in repr(examine(path))


@pytest.mark.parametrize(
    "block",
    [
        "{engine: [a]}",
        "{engine: {a: b}}",
        "{engine: vllm, engine_version: [1]}",
        "{engine: vllm, service: [a]}",
        "{engine: vllm, ready_s: [a], needs: [a], build: a, profiles: [a]}",
        "{engine: vllm, ready_s: soon, profiles: {a: b}}",
        "[a]",
    ],
)
def test_a_block_of_the_wrong_shape_ends_nothing(block: str, tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    text = BASES["vllm"].read_text().replace("--enforce-eager", "--no-such-flag")
    path.write_text(f"x-stack: {block}\n{text}")

    assert "flag-unknown" in {finding.code for finding in examine(path)}
