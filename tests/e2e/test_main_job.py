"""The main job with real models and without Docker: from nothing to a printed result, and down again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import NO_ENGINE, Shell, copy_checkout, free_port


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_first_command_of_the_readme_works_as_it_stands(tmp_path: Path) -> None:
    root, env = tmp_path / "checkout", tmp_path / "env"
    copy_checkout(root)
    subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
    lines = (root / "README.md").read_text().split("```sh\n")[1].splitlines()
    command = lines[0].partition("#")[0]
    assert command.strip().endswith("inv up bench down")

    ran = subprocess.run(
        ["sh", "-c", command],
        cwd=root,
        env={**os.environ, **NO_ENGINE, "PATH": f"{env}/bin:{os.environ['PATH']}", "PORT": str(free_port())},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "the default" in ran.stderr
    assert "llamacpp-cpu is up" in ran.stdout
    assert "Tokyo" in ran.stdout
    assert "llamacpp-cpu is down" in ran.stdout
    (record,) = (root / "results").glob("llamacpp-cpu-*.json")
    result = json.loads(record.read_text())
    assert result["complete"]
    assert all(run["ok"] == run["requests"] for run in result["runs"])
    assert not Shell(root).processes()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_vllm_serves_beside_llama_cpp(shell: Shell) -> None:
    mine = ("--runtime", "process", "--set", f"PORT={free_port()}")
    other = ("--runtime", "process", "--set", f"PORT={free_port()}")
    assert shell.inv("up", "--stack", "llamacpp-cpu", *mine, timeout=200).code == 0
    up = shell.inv("up", "--stack", "vllm-cpu", *other, timeout=800)
    assert up.code == 0, up.all
    assert "Tokyo" in up.out

    both = json.loads(shell.inv("status", "--json").out)
    assert [(row["stack"], row["state"]) for row in both] == [("llamacpp-cpu", "running"), ("vllm-cpu", "running")]
    which = shell.inv("bench")
    assert which.code == 2
    assert "several are up: llamacpp-cpu, vllm-cpu" in which.err

    quick = ("--requests", "2", "--concurrency", "2", "--output-tokens", "8", "--json")
    for endpoint in ("completions", "chat"):
        said = shell.inv("bench", *quick, "--endpoint", endpoint, env={"STACK": "vllm-cpu"}, timeout=200)
        assert said.code == 0, said.all
        record = json.loads(said.out)
        assert record["found_inside"]["engine"] == {"name": "vllm", "version": "0.32.0"}
        assert record["found_inside"]["model"]["root"].startswith("./.blackstack/"), (
            "whose checkout it is, is nobody's business"
        )
        assert record["found_inside"]["packages"]["torch"].startswith("2.13.0")
        assert record["runs"][0]["output_tokens"] == 16

    assert "KV cache" in shell.inv("logs", "--stack", "vllm-cpu", "--lines", "500").out
    for stack in ("vllm-cpu", "llamacpp-cpu"):
        assert shell.inv("down", "--stack", stack).code == 0
    assert shell.processes() == []

    # One round, because vLLM takes its time to start: a verdict that says by itself that it shows nothing.
    judged = shell.inv(
        *(
            "verdict",
            "--candidates",
            "llamacpp-cpu,vllm-cpu",
            "--model",
            "SmolLM2-135M-Instruct",
            "--runtime",
            "process",
        ),
        *("--rounds", "1", "--requests", "4", "--output-tokens", "16", "--json"),
        timeout=400,
    )
    assert judged.code == 0, judged.all
    verdict = json.loads(judged.out)
    assert [trial["outcome"] for trial in verdict["trials"]] == ["works", "works"]
    assert all(size > 1 << 20 for size in verdict["verdict"]["sizes"].values())
    assert "one round: no interval" in verdict["said"][0]
    assert shell.processes() == []
