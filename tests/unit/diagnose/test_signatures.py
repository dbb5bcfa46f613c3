"""The catalogue of causes is checked strictly, and tells all its faults at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from blackstack.diagnose.signatures import Catalogue, load
from blackstack.errors import UsageError

LABELS = Path(__file__).parents[4] / "shared" / "errors" / "labels.md"

MINIMAL = """
harmless: []
trouble: []
deaths: []
signatures:
  - code: unknown
    title: {en: It failed, ko: 실패}
    cause: {en: Nobody knows, ko: 모름}
    fix: [{en: Ask, ko: 문의}]
    verify: 'true'
    sources: [test]
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "signatures.yaml"
    file.write_text(text)
    return file


def test_our_own_file_is_sound() -> None:
    assert len(load().signatures) > 80


def test_a_minimal_file_is_enough(tmp_path: Path) -> None:
    assert isinstance(load(written(tmp_path, MINIMAL)), Catalogue)


def test_all_faults_are_told_at_once_and_by_the_code_of_their_signature(tmp_path: Path) -> None:
    faulty = (
        MINIMAL
        + """
  - code: too-vague
    titel: {en: A typo, ko: 오타}
    title: {en: English only}
    any: ['\\d+', 'fine enough (']
    cause: {en: x, ko: x}
    fix: [{run: 'x', en: words in one language}]
    verify: x
    sources: []
"""
    )

    with pytest.raises(UsageError) as caught:
        load(written(tmp_path, faulty))

    told = "\n".join(caught.value.why)
    for fault in (
        "signatures.too-vague.titel: Extra inputs",
        "signatures.too-vague.title.ko: Field required",
        "signatures.too-vague.any.0: Value error, matches without 4 plain characters",
        "signatures.too-vague.any.1: Value error, not a regular expression",
        "signatures.too-vague.fix.0: Value error, has words in one language only",
        "signatures.too-vague.sources: Tuple should have at least 1 item",
    ):
        assert fault in told


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("deaths: []", "deaths: [{signal: SIGSEGV, code: nobody}]", "deaths: no such code: nobody"),
        (
            "sources: [test]",
            "sources: [test]\n    consequence_of: [nobody]",
            "consequence_of names no code: nobody",
        ),
        ("code: unknown", "code: something", "signatures: unknown is needed"),
    ],
)
def test_names_must_be_those_of_something(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(written(tmp_path, MINIMAL.replace(old, new)))

    assert complaint in str(caught.value)


def test_what_is_not_yaml_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not YAML"):
        load(written(tmp_path, "a: b: c"))


@pytest.mark.skipif(not LABELS.exists(), reason="the labelled logs lie beside the repository, not in it")
def test_every_label_has_its_signature() -> None:
    rows = [line.split("`")[1] for line in LABELS.read_text().splitlines() if line.startswith("| `")]

    assert set() == set(rows) - {"healthy"} - set(load().by_code)
