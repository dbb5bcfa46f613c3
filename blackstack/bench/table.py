"""A measurement as a table for people; plain text, so that it can be pasted anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEASURES = (
    ("TTFT", "ttft_ms"),
    ("inter-token gap", "gap_ms"),
    ("TPOT", "tpot_ms"),
    ("end to end", "e2e_ms"),
)
WORTH_SAYING = 0.02  # of a run
SHOWN_S = 0.005  # less is «0.00»
HEADS = ("mean", "ci95", "p50", "p90", "p99", "max")


def render(result: Mapping[str, Any]) -> str:
    """Return the text of a result (``Measurement.as_dict()``)."""
    asked = result["asked_for"]
    lines = [f"{asked['model']} at {asked['url']}", ""]
    for run in result["runs"]:
        lines += [*_run(run), ""]
    if knee := result.get("knee"):
        lines.append(knee_line(knee))
    if quality := result["found"].get("quality"):
        lines += [
            f"quality: {quality['right']} of {quality['asked']} answers right, {quality['degenerate']} degenerate"
        ]
    lines.append("Times in ms. Warm-up and failed requests are in no number. gap: between events; TPOT: per request.")
    return "\n".join(lines)


def _run(run: Mapping[str, Any]) -> list[str]:
    lines = [
        (
            f"{_load(run)}: {run['ok']} of {run['requests']} good, "
            f"{run['output_tokens_per_s']:.1f} output tokens/s in {run['duration_s']:.2f} s "
            f"({run['warmup_excluded']} warm-up requests before)"
        ),
    ]
    if run["ok"]:
        lines.append(f"  {'':<16}" + "".join(f"{head:>{18 if head == 'ci95' else 10}}" for head in HEADS))
    for title, key in MEASURES:
        numbers = run[key]
        if numbers["n"]:
            lines.append(f"  {title:<16}" + "".join(_cell(numbers, head) for head in HEADS))
    return lines + [f"  {note}" for note in notes(run)]


def notes(run: Mapping[str, Any]) -> list[str]:
    """Return what a reader of a run's numbers must know, a line each."""
    lines, given_up = [], run["given_up"]
    if "goodput" in run:
        share, rate = run["goodput"]["share"], run["goodput"]["requests_per_s"]
        lines.append(f"goodput: {share:.1%} of all requests within their limits, {rate:.2f} a second")
    turns = [(turn["turn"], turn["ttft_ms"]) for turn in run.get("by_turn", ())]
    lines += [f"turn {number}: TTFT {told['mean']:.2f} ms, {told['n']} requests" for number, told in turns]
    if (left_out := run["cooldown"]["excluded_s"]) > max(run["duration_s"] * WORTH_SAYING, SHOWN_S):
        lines.append(f"cool-down: the last {left_out:.2f} s, when nothing was left to send, are in no throughput")
    if check := run.get("token_check"):
        lines.append(_checked(check))
    if few := [] if given_up else run["ttft_ms"].get("too_few"):
        lines.append(f"too few samples for {', '.join(few)}: take them as hints")
    if looping := run["looping_replies"]:
        lines.append(
            f"{looping} of {run['ok']} answers come to a loop ({run['looping_examples'][0]}), and again when asked "
            "alone: the model's way, counted as good"
        )
    failed = {kind: count for kind, count in run["failures"].items() if count}
    for kind, count in failed.items():
        said = "; ".join(run["failure_examples"].get(kind, ()))
        lines.append(f"failed: {count} {kind}{f' ({said})' if said else ''}")
    if given_up:
        left = f"; {given_up['not_sent']} requests were not sent" if given_up["not_sent"] else ""
        lines.append(f"GIVEN UP: {given_up['why']}{left}")
    lines += run["remarks"]
    if run["tokens_counted_by"] != "server":
        lines.append("the server sent no usage: one token is counted for each event")
    return lines + [f"CLIENT-BOUND, no baseline: {reason}" for reason in run["client"]["bound_reasons"]]


def knee_line(knee: Mapping[str, Any]) -> str:
    """Return what a sweep found: where throughput ends to grow, and how far the limits were kept."""
    line = f"knee: concurrency {knee['concurrency']} ({knee['rule']})"
    if "within_limits" not in knee:
        return line
    kept = f"up to concurrency {knee['within_limits']}" if knee["within_limits"] else "at no concurrency"
    return f"{line}; within the limits: {kept}"


def _checked(check: Mapping[str, Any]) -> str:
    if not check["available"]:
        return "tokens: not checked, the server has no /tokenize"
    told = f"the server said {check['tokens_said']}, its tokenizer counts {check['tokens_counted']}"
    return f"tokens: of {check['answers']} answers {told} ({check['differing']} differ)"


def _load(run: Mapping[str, Any]) -> str:
    if run.get("rate"):
        return f"{run['rate']:g} requests/s asked for, {run['requests_per_s']:.1f} answered"
    return f"concurrency {run['concurrency']}"


def _cell(numbers: Mapping[str, Any], head: str) -> str:
    value = numbers[head]
    if head == "ci95":
        return f"{f'{value[0]:.2f}..{value[1]:.2f}' if value else '-':>18}"
    return f"{value:>10.2f}"
