"""The clients that client_accuracy.py compares: how each is installed, told what to do, and read.

A peer gets an environment of its own. What cannot be had is said and not guessed: ``vllm bench serve`` needs the whole
server (3.4 GB), guidellm pulls torch (5.9 GB), and mlcommons endpoints is no package; their figures in the record
are from an earlier measurement with the same method.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

HERE = Path(__file__).parent
MOST_TOKENS = 300_000
NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One load and the server that it meets."""

    name: str
    concurrency: int
    requests: int
    tokens: int
    server: tuple[str, ...]
    rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class Reported:
    """What a client says."""

    ttft_mean_ms: float = NAN
    ttft_p99_ms: float = NAN
    gap_p99_ms: float = NAN
    failed: int = 0


class Client(Protocol):
    """A benchmark client."""

    name: str

    def install(self) -> None:
        """Make it runnable."""

    def can(self, case: Case) -> bool:
        """Tell whether it knows such a load."""

    def command(self, case: Case, url: str, out: Path) -> tuple[list[str], dict[str, str]]:
        """Return the command and its environment."""

    def read(self, out: Path) -> Reported:
        """Read its report."""


class Blackstack:
    """This repository's client."""

    name = "blackstack"

    def __init__(self, python: Path) -> None:
        self._python = python

    def install(self) -> None:
        """Nothing to do: it runs in this environment."""

    def can(self, _: Case) -> bool:
        """It knows them all."""
        return True

    def command(self, case: Case, url: str, out: Path) -> tuple[list[str], dict[str, str]]:
        """Return the command and its environment."""
        line = [
            str(self._python),
            "-m",
            "blackstack.bench",
            "--url",
            url,
            "--model",
            "mock",
            "--json",
            "--out",
            str(out),
        ]
        line += ["--concurrency", str(case.concurrency), "--requests", str(case.requests), "--warmup", "0"]
        line += ["--output-tokens", str(case.tokens)]
        if case.rate:
            line += ["--rate", str(case.rate), "--arrival", "constant"]
        return line, {"PYTHONPATH": str(HERE.parent)}

    def read(self, out: Path) -> Reported:
        """Read its report."""
        run = json.loads(out.read_text(encoding="utf-8"))["runs"][0]
        return Reported(
            ttft_mean_ms=run["ttft_ms"]["mean"],
            ttft_p99_ms=run["ttft_ms"]["p99"],
            gap_p99_ms=run["gap_ms"]["p99"],
            failed=sum(run["failures"].values()),
        )


TOKENIZER = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
words = {f"w{i}": i + 2 for i in range(2000)} | {"<unk>": 0, "<s>": 1}
plain = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
plain.pre_tokenizer = pre_tokenizers.Whitespace()
made = PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>", bos_token="<s>", eos_token="<s>")
made.save_pretrained(sys.argv[1])
"""


class InferencePerf:
    """kubernetes-sigs/inference-perf, the most accurate peer at low concurrency; needs Python 3.12."""

    name = "inference-perf"

    def __init__(self, environment: Path) -> None:
        self._environment = environment
        self._python = environment / "bin/python"
        self._tokenizer = environment / "tokenizer"

    def install(self) -> None:
        """Install it, and make a tokenizer of words, because it cannot count without one."""
        if not self._python.exists():
            python = "python3.12" if sys.version_info < (3, 12) else sys.executable
            subprocess.run([python, "-m", "venv", self._environment], check=True)
            subprocess.run([self._python, "-m", "pip", "install", "--quiet", "inference-perf==0.7.0"], check=True)
        if not self._tokenizer.exists():
            subprocess.run([self._python, "-c", TOKENIZER, self._tokenizer], check=True)

    def can(self, case: Case) -> bool:
        """It knows them all, but its report on a million tokens takes minutes."""
        return case.requests * case.tokens <= MOST_TOKENS

    def command(self, case: Case, url: str, out: Path) -> tuple[list[str], dict[str, str]]:
        """Return the command and its environment."""
        length = {"min": 32, "max": 32, "mean": 32, "std_dev": 0, "total_count": case.requests}
        load: dict[str, object] = {
            "type": "concurrent",
            "interval": 0,
            "stages": [{"num_requests": case.requests, "concurrency_level": case.concurrency}],
        }
        if case.rate:
            stages = [{"rate": case.rate, "duration": round(case.requests / case.rate)}]
            load = {"type": "constant", "interval": 0, "stages": stages}
        reports = out.with_suffix(".reports")
        config = {
            "api": {"type": "completion", "streaming": True},
            "data": {
                "type": "random",
                "input_distribution": length,
                "output_distribution": {**length, "min": case.tokens, "max": case.tokens, "mean": case.tokens},
            },
            "load": load,
            "server": {"type": "vllm", "model_name": "mock", "base_url": url, "ignore_eos": True},
            "tokenizer": {"pretrained_model_name_or_path": str(self._tokenizer)},
            "report": {"request_lifecycle": {"summary": True, "per_stage": True, "per_request": False}},
            "storage": {"local_storage": {"path": str(reports)}},
        }
        path = out.with_suffix(".yaml")
        path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        return [str(self._environment / "bin/inference-perf"), "-c", str(path)], {}

    def read(self, out: Path) -> Reported:
        """Read its report; it counts in seconds."""
        path = next(out.with_suffix(".reports").rglob("summary_lifecycle_metrics.json"))
        told = json.loads(path.read_text(encoding="utf-8"))
        failed = int(told["failures"]["count"])
        latency = told["successes"]["latency"]
        ttft, gap = latency["time_to_first_token"], latency["inter_token_latency"]
        path.unlink()
        return Reported(
            ttft_mean_ms=1000 * ttft["mean"],
            ttft_p99_ms=1000 * ttft["p99"],
            gap_p99_ms=1000 * gap["p99"],
            failed=failed,
        )


class Floor:
    """client_floor.py: what Python itself costs here."""

    name = "floor"

    def __init__(self, _: Path) -> None: ...

    def install(self) -> None:
        """Nothing to do: it runs in this environment."""

    def can(self, case: Case) -> bool:
        """It knows a closed loop and no failures."""
        return case.rate is None and "--faults" not in case.server

    def command(self, case: Case, url: str, out: Path) -> tuple[list[str], dict[str, str]]:
        """Return the command and its environment."""
        numbers = [url.rpartition(":")[2], str(case.concurrency), str(case.requests), str(case.tokens)]
        return [sys.executable, str(HERE / "client_floor.py"), *numbers, str(out)], {}

    def read(self, out: Path) -> Reported:
        """Read its report."""
        return Reported(**json.loads(out.read_text(encoding="utf-8")))


PEERS: dict[str, type[Blackstack | InferencePerf | Floor]] = {
    "blackstack": Blackstack,
    "floor": Floor,
    "inference-perf": InferencePerf,
}
