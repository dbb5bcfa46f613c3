"""The numbers that age, held against the audit's; and the page that is made of the words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from blackstack.audit.arch import DRIVERS, GPUS
from blackstack.doctor import CHECKS
from blackstack.doctor.guide import main, page
from blackstack.doctor.knowledge import cuda_of, knowledge, least_driver
from blackstack.doctor.require import is_met
from blackstack.doctor.texts import texts
from blackstack.versions import numbers

SEEN: Mapping[str, Mapping[str, str]] = YAML(typ="safe").load(Path(__file__).parents[1] / "facts/seen.yaml")


def test_the_audit_knows_the_same_drivers() -> None:
    """The audit stands alone, and has a table of branches of its own."""
    ours = {numbers(first)[0]: numbers(cuda) for cuda, first in knowledge()["driver"].items()}

    assert {branch: cuda for branch, cuda in DRIVERS.items() if cuda in ours.values()} == ours


def test_every_card_of_the_audit_has_its_first_toolkit() -> None:
    known = {numbers(capability) for capability in knowledge()["code"]}

    assert {gpu for gpu in GPUS.values() if gpu >= (8, 0)} <= known


@pytest.mark.parametrize(
    ("driver", "cuda"),
    [("570.133.20", "12.8"), ("575.51.03", "12.9"), ("580.97", "13.0"), ("590.48.01", "13.1"), ("595.84", "13.2")],
)
def test_pairs_that_nvidia_smi_showed_are_as_the_table_says(driver: str, cuda: str) -> None:
    # vllm#18995, NVIDIA's 12.9.0 installer, vllm#23655, ktransformers#1922, a note of 2026-09
    assert cuda_of(driver) == cuda
    assert numbers(least_driver(cuda)) <= numbers(driver)


def test_the_official_image_s_demand_lets_data_centre_cards_through_and_no_geforce() -> None:
    require = SEEN["require-vllm"]["text"]

    assert not is_met(require, cuda="12.9", driver="575.57.08", brand="geforce", arch="12.0")
    assert is_met(require, cuda="12.2", driver="535.183.01", brand="tesla", arch="9.0")
    assert is_met(require, cuda="13.0", driver="580.95.05", brand="geforce", arch="12.0")
    assert not is_met(require, cuda="", driver="", brand="geforce", arch="")
    assert is_met("", cuda="", driver="", brand="", arch="")


def test_the_committed_page_is_up_to_date() -> None:
    assert main(["--check"]) == 0


def test_a_stale_page_is_told_and_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "doctor.md"

    assert main(["--check", "--page", str(file)]) == 1
    assert "is stale; next: python -m blackstack.doctor.guide" in capsys.readouterr().err
    assert main(["--page", str(file)]) == 0
    assert main(["--check", "--page", str(file)]) == 0


def test_the_page_has_every_finding_and_every_check_and_says_what_is_not_verified() -> None:
    text = page()

    assert all(f"### {code}\n" in text for code in texts())
    assert all(f"| {check.title} |" in text for check in CHECKS)
    assert "**not verified\non an RTX 5090**" in text


def test_every_text_says_how_to_mend_it_and_how_to_see_that_it_is_mended() -> None:
    assert [code for code, text in texts().items() if not text["fix"] or not text["verify"]] == []
