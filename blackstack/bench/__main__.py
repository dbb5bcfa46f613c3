"""``python -m blackstack.bench``: the client by itself, for any server."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from blackstack.bench.arrivals import ARRIVALS
from blackstack.bench.measure import measure
from blackstack.bench.prompts import SETS
from blackstack.bench.sources import usual_requests
from blackstack.bench.table import render
from blackstack.bench.target import EXAMPLE, Target
from blackstack.bench.workload import PATHS, Workload
from blackstack.errors import BlackstackError, InterruptedRunError

REQUESTS = 24
FAILED = 1  # requests failed: the numbers are of those that did not


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    arguments = parser().parse_args(argv)
    try:
        workload = workload_of(arguments)
        target = Target(url=arguments.url, model=arguments.model, api_key=os.environ.get("API_KEY"))
        pulse = _pulse if sys.stderr.isatty() else None
        result = measure(target, workload, progress=_say, pulse=pulse, warn=_say).as_dict()
    except KeyboardInterrupt:
        _say("stopped; nothing is left running")
        return InterruptedRunError.exit_code
    except BlackstackError as error:
        _say(str(error))
        return error.exit_code
    text = json.dumps(result, ensure_ascii=False, indent=1, allow_nan=False)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
        _say(f"written to {arguments.out}")
    print(text if arguments.json else render(result))  # noqa: T201 - the result is the output
    if given_up := result["runs"][-1]["given_up"]:
        answered = sum(run["ok"] for run in result["runs"])
        _say(f"given up: {given_up['why']}; answered before: {answered}")
    return FAILED if any(run["ok"] < run["requests"] for run in result["runs"]) else 0


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    sets = "; ".join(f"{name}: {kind.about}" for name, kind in SETS.items())
    it = argparse.ArgumentParser(
        prog="python -m blackstack.bench",
        description="Measure an OpenAI-compatible server. The key comes from the environment: API_KEY.",
    )
    it.add_argument("--url", default=EXAMPLE, help="the server's root (default: %(default)s)")
    it.add_argument("--model", help="the model's name; not needed where one is served")
    it.add_argument("--endpoint", choices=tuple(PATHS), default="completions")
    it.add_argument(
        "--concurrency", type=numbers, default=(1,), help="requests in flight, such as 1,64: a run for each"
    )
    it.add_argument("--sweep-to", type=int, help="double the concurrency up to this, until throughput stops growing")
    it.add_argument("--requests", type=int, help="requests a run (default: 24; a trace is replayed whole)")
    it.add_argument("--input-tokens", type=int, help="exact length of each prompt")
    it.add_argument("--output-tokens", type=int, help="length of each answer (default: the prompt set's)")
    it.add_argument("--prompts", default="chat", help=f"{sets}; or a file .jsonl or .json")
    it.add_argument("--warmup", type=int, default=2, help="requests before each run that do not count")
    it.add_argument("--repeats", type=int, default=1, help="how often each run is made")
    it.add_argument("--rate", type=float, help="requests a second, whatever the server does (open loop)")
    it.add_argument("--arrival", choices=ARRIVALS, default="constant")
    it.add_argument("--burstiness", type=float, default=1.0, help="shape of gamma arrivals; below 1 is bursty")
    it.add_argument("--ramp", type=float, default=0.0, help="seconds over which the load grows from nothing")
    it.add_argument("--duration", type=float, help="seconds to send for, instead of --requests")
    it.add_argument("--shared-prefix", type=int, default=0, help="words that all prompts begin with")
    it.add_argument("--turns", type=int, default=1, help="of a conversation, which holds the server's own answers")
    it.add_argument("--check-tokens", action="store_true", help="count some answers again with the server's tokenizer")
    it.add_argument("--no-salt", action="store_true", help="let a prefix cache answer for the model")
    it.add_argument("--no-ignore-eos", action="store_true", help="let answers end where the model ends them")
    it.add_argument("--slo-ttft", type=float, help="ms; a request within all of these is in the goodput")
    it.add_argument("--slo-tpot", type=float, help="ms")
    it.add_argument("--slo-e2e", type=float, help="ms")
    it.add_argument("--quality", action="store_true", help="also ask questions with known answers")
    it.add_argument("--workers", type=int, default=1, help="processes that share the load")
    it.add_argument("--seed", type=int, default=0)
    it.add_argument("--timeout", type=float, default=120.0, help="seconds for one request (default: %(default)s)")
    it.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else, on stdout")
    it.add_argument("--out", type=Path, help="write the result as JSON to this file")
    return it


def workload_of(arguments: argparse.Namespace) -> Workload:
    """Return the workload that the command line describes."""
    return Workload(
        concurrency=arguments.concurrency,
        sweep_to=arguments.sweep_to,
        requests=arguments.requests or usual_requests(arguments.arrival, arguments.prompts, otherwise=REQUESTS),
        input_tokens=arguments.input_tokens,
        output_tokens=arguments.output_tokens,
        prompts=arguments.prompts,
        endpoint=arguments.endpoint,
        warmup=arguments.warmup,
        repeats=arguments.repeats,
        rate=arguments.rate,
        arrival=arguments.arrival,
        burstiness=arguments.burstiness,
        ramp_s=arguments.ramp,
        duration_s=arguments.duration,
        quality=arguments.quality,
        workers=arguments.workers,
        turns=arguments.turns,
        check_tokens=arguments.check_tokens,
        shared_prefix=arguments.shared_prefix,
        salt=not arguments.no_salt,
        ignore_eos=not arguments.no_ignore_eos,
        slo_ttft_ms=arguments.slo_ttft,
        slo_tpot_ms=arguments.slo_tpot,
        slo_e2e_ms=arguments.slo_e2e,
        seed=arguments.seed,
        timeout_s=arguments.timeout,
    )


def numbers(text: str) -> tuple[int, ...]:
    """Read a list such as ``1,64``."""
    return tuple(int(part) for part in text.split(","))


def _pulse(line: str) -> None:
    print(f"\r\x1b[K{line}", end="\r", file=sys.stderr, flush=True)  # noqa: T201 - drawn over by what comes next


def _say(line: str) -> None:
    print("\x1b[K" * sys.stderr.isatty() + line, file=sys.stderr, flush=True)  # noqa: T201 - what is for people goes to stderr


if __name__ == "__main__":
    sys.exit(main())
