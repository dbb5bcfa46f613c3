"""The machine interface and the bundle: what scripts and bug reports rely on."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from blackstack.diagnose import bundle
from blackstack.diagnose.__main__ import main
from blackstack.diagnose.terminal import screen

LIBNUMA = "ImportError: libnuma.so.1: cannot open shared object file: No such file or directory\n"


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    log = tmp_path / "broken.log"
    log.write_text(LIBNUMA)
    return log


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    log = tmp_path / "healthy.log"
    log.write_text("INFO:     Application startup complete.\n")
    return log


def test_one_file_gives_a_list_of_findings(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([str(broken), "--json"])

    (finding,) = json.loads(capsys.readouterr().out)
    assert code == 1
    assert finding["code"] == "libnuma-missing"
    assert set(finding) == {"code", "severity", "title", "evidence", "cause", "fix", "verify", "source"}


def test_a_healthy_file_gives_an_empty_list(healthy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(healthy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_several_files_give_one_list_a_file(broken: Path, healthy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(healthy), str(broken), "--json"]) == 1
    assert [len(findings) for findings in json.loads(capsys.readouterr().out)] == [0, 1]


def test_standard_input_is_a_log_and_the_package_runs_on_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "blackstack.diagnose", "-", "--json"],
        input=LIBNUMA.encode(),
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )

    assert (done.returncode, done.stderr) == (1, b"")
    assert json.loads(done.stdout)[0]["code"] == "libnuma-missing"


@pytest.mark.parametrize(
    "arguments",
    [
        ["absent.log"],
        ["."],
        ["x", "--facts", "no json"],
        ["x", "--facts", "[]"],
        ["x", "--facts", '{"exit": 1}'],
    ],
)
def test_bad_usage_is_exit_code_2_and_a_sentence(
    arguments: list[str], broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(broken) if argument == "x" else argument for argument in arguments]

    assert main(given) == 2
    assert "next:" in capsys.readouterr().err


def test_facts_come_as_json(healthy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(healthy), "--json", "--facts", '{"exit_code": 139}']) == 1
    assert json.loads(capsys.readouterr().out)[0]["code"] == "native-segfault"


def test_a_person_reads_cause_evidence_and_next_command(
    broken: Path, healthy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(broken), str(healthy)])

    told = capsys.readouterr().out
    assert "✗ libnuma is not installed  [libnuma-missing]" in told
    assert "line 1: ImportError: libnuma.so.1" in told
    assert "next  apt-get install -y libnuma1" in told
    assert "nothing is wrong in this log" in told
    assert "\x1b" not in told


def test_a_screen_is_one_screen() -> None:
    from blackstack.diagnose import diagnose  # noqa: PLC0415 - only this test needs many findings

    findings = diagnose(
        [LIBNUMA, "No space left on device", "Segmentation fault", "toomanyrequests", "CUDA out of memory"]
    )
    told = screen("x.log", findings, width=100)

    assert "also seen:" in told
    assert len(told.splitlines()) < 45
    assert all(len(line) <= 100 for line in told.splitlines() if "line " in line)


def test_a_bundle_is_redacted_and_says_what_it_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, plan, target = tmp_path / "kim.log", tmp_path / "plan.json", tmp_path / "out.tar.gz"
    log.write_text(f"HF_TOKEN=hf_abcdefghijklmnop from /home/kim at 192.168.7.7\n{LIBNUMA}")
    plan.write_text('{"env": {"API_KEY": "s3cr3t-value"}, "image": "vllm/vllm-openai:v0.26.0"}')

    assert main([str(log), "--bundle", str(target), "--attach", str(plan)]) == 1

    with tarfile.open(target) as archive:
        texts = {m.name: (archive.extractfile(m) or io.BytesIO()).read().decode() for m in archive}
        owners = {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in archive}
    assert set(texts) == {"findings.json", "versions.json", "logs/1-kim.log", "attached/1-plan.json"}
    assert owners == {(0, 0, "", "", 0)}
    whole = "".join(texts.values())
    for private in ("hf_abc", "/home/kim", "192.168", "s3cr3t"):
        assert private not in whole
    assert "v0.26.0" in texts["attached/1-plan.json"]
    assert json.loads(texts["findings.json"])["kim.log"][0]["code"] == "libnuma-missing"
    assert "wrote" in capsys.readouterr().err


def test_a_bundle_keeps_both_ends_of_a_long_log(tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    log.write_text("".join(f"line {n}\n" for n in range(10_000)) + "x" * 100_000 + "\nend\n")
    bundle.write(tmp_path / "b.tar.gz", {log: []})

    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        kept = (archive.extractfile("logs/1-long.log") or io.BytesIO()).read().decode().splitlines()
    assert (kept[0], kept[-1]) == ("line 0", "end")
    assert any("lines left out" in line for line in kept)
    assert max(map(len, kept)) < 5_000
