"""What is known of each version is there, well-formed, and the nearest version is taken where one is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from blackstack.flags import became, closest, first_with, gone, versions
from blackstack.flags import known as known_module
from blackstack.flags.known import DATA, load
from tests.unit.conftest import REPOSITORY

ALL = [(engine, version) for engine in ("vllm", "sglang", "llamacpp") for version in versions(engine)]


@pytest.mark.parametrize(("engine", "version"), ALL)
def test_the_data_says_where_it_comes_from_and_how_it_was_taken(engine: str, version: str) -> None:
    data = json.loads((DATA / f"{engine}-{version}.json").read_text())

    assert data["engine"] == engine
    assert data["version"] == version
    assert data["method"]
    assert data["date"] >= "2026-11-21"
    assert "sha256:" in data["source"] or (REPOSITORY / data["source"]).is_file()


@pytest.mark.parametrize(("engine", "version"), ALL)
def test_no_two_flags_have_the_same_name(engine: str, version: str) -> None:
    known = load(engine, version)
    names = [name for flag in known.flags for name in flag.names]

    assert len(names) == len(set(names))
    assert "--port" in names


def test_versions_come_in_order() -> None:
    assert list(versions("vllm")) == sorted(versions("vllm"), key=lambda text: [int(part) for part in text.split(".")])


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ("0.11.0", "0.11.0"),
        ("0.11.1rc2", "0.11.0"),
        ("0.11.0.post1", "0.11.0"),
        ("0.31.0", "0.19.1"),
        ("0.19.1rc1", "0.11.0"),
        ("0.10.2", "0.9.2"),
        ("0.9.2.dev3", "0.9.2"),
        ("0.1", "0.9.2"),
        ("99", "0.32.0"),
        (None, "0.32.0"),
        ("nightly", "0.32.0"),
        ("nightly-5f70bf1", "0.32.0"),
        ("v0.11.0", "0.11.0"),
        ("", "0.32.0"),
    ],
)
def test_a_version_without_data_gets_the_last_one_before_it(
    wanted: str | None, taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("0.9.2", "0.11.0", "0.19.1", "0.32.0"):
        data = json.loads((DATA / "vllm-0.11.0.json").read_text())
        (tmp_path / f"toy-{version}.json").write_text(json.dumps({**data, "version": version}))
    monkeypatch.setattr(known_module, "DATA", tmp_path)

    known = closest("toy", wanted)

    assert known
    assert known.version == taken


def test_of_an_engine_nobody_knows_nothing_is_known() -> None:
    assert closest("unheard-of", "1") is None


def test_what_became_of_a_flag_is_known_from_the_table_and_from_older_data() -> None:
    newest = load("vllm", "0.33.0")
    by_table = became(newest, "VLLM_ATTENTION_BACKEND")
    by_data = became(newest, "--lora-extra-vocab-size")

    assert by_table
    assert "--attention-backend" in by_table.instead
    assert by_data
    assert "had it" in by_data.why
    assert became(newest, "--no-such-flag") is None


def test_a_flag_of_a_later_version_is_known_to_be_one() -> None:
    assert first_with(load("vllm", "0.19.1"), "--linear-backend") in versions("vllm")
    assert first_with(load("vllm", "0.19.1"), "--no-such-flag") == ""


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_what_the_table_calls_gone_is_gone_from_the_newest_version(engine: str) -> None:
    newest = load(engine, versions(engine)[-1])

    for name, row in gone(engine).items():
        assert name not in newest.by_name
        assert name not in newest.variables
        assert row.why
        assert row.source
        flags = [word.rstrip(",").partition(".")[0] for word in row.instead.split() if word.startswith("--")]
        assert all(flag in newest.by_name for flag in flags), row


def test_our_own_server_s_flags_are_those_that_it_has(tmp_path: Path) -> None:
    extract = REPOSITORY / "blackstack/flags/extract.py"
    script = REPOSITORY / "dockerfiles/llamacpp-cpu/serve.py"
    version = versions("llamacpp")[-1]
    argv = [sys.executable, str(extract), "--script", str(script), "--version", version, "--out", str(tmp_path)]
    subprocess.run(argv, check=True, capture_output=True)
    fresh = json.loads((tmp_path / f"llamacpp-{version}.json").read_text())
    kept = json.loads((DATA / f"llamacpp-{version}.json").read_text())

    moving = ("date", "python")
    assert {**kept, **dict.fromkeys(moving)} == {**fresh, **dict.fromkeys(moving)}


@pytest.mark.parametrize("version", versions("vllm"))
def test_a_flag_that_takes_json_is_known_to(version: str) -> None:
    flag = load("vllm", version).by_name["--speculative-config"]

    assert flag.fault('{"method": "ngram", "num_speculative_tokens": 4}') == ""
    assert flag.fault("{method: ngram}") == "must be JSON"
