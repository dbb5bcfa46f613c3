"""Write what `record.py` recorded as one page: `python benchmarks/gpu/show.py results/gpu/h200 > docs/h200.md`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MODELS = {"smollm2-135m": "SmolLM2-135M-Instruct, real weights", "gpt-oss-20b": "gpt-oss-20b, dummy weights"}
BESIDE = (
    "`inv bench` and vLLM's own client on the same server, one after the other, and how far each is from the means that"
    " the server itself counted (`/metrics`) meanwhile; 32 tokens in, 128 out, after one run that nobody counts. The"
    " last column is the share of what the card could do at most, by the bytes of a step (`inv fit`) and the copy"
    " bandwidth that was measured above:"
)
DUMMY = (
    "Random weights may send all tokens to few experts; then a step of many requests reads less than the bound assumes,"
    " and the shares at 8 and more in flight are too kind."
)
MATRIX = (
    "`inv backends --axis attention,graphs --cross` on SmolLM2-135M: each attention backend with and without CUDA"
    " graphs, as the server's log says that it was used; 4 in flight, 8 requests of 32 tokens, three times. Right"
    " answers: of five questions; the model is small, and what counts here is that no backend changes them."
)
RAN = (
    "Each library with GPU code that a vLLM which answered had mapped, and what `inv audit --for 9.0` said of it from"
    " the files alone: units of code for 9.0 as they are, by PTX, and without."
)
PRINTED = (
    *("Model loading took", "Available KV cache memory", "GPU KV cache size", "Maximum concurrency"),
    "attention backend",
)
STAGES = ("import", "weights", "compile", "kv-cache", "graph-capture", "first-completion")


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Yield a Markdown table."""
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"


def page(folder: Path) -> Iterator[str]:
    """Yield the lines of the page."""
    bandwidth = json.loads((folder / "bandwidth.json").read_text())
    yield "# What a real GPU showed"
    yield ""
    yield (
        f"One {bandwidth['gpu']} (compute capability {bandwidth['capability']}), vLLM 0.23.0, by"
        f" `benchmarks/gpu/record.py` on 2026-11-21; the records are in [`{folder}`](../{folder}). It is no Blackwell"
        " card: **no figure here is an RTX 5090's.** It copies"
        f" {bandwidth['copy_gb_s']:,.0f} GB/s on the device ({bandwidth['what']})."
    )
    for name, title in MODELS.items():
        record = json.loads((folder / f"{name}.json").read_text())
        yield from ("", f"## {title}", "", "Seconds of each stage of `inv up`, from vLLM's own log:", "")
        yield from table(("start", "all", *STAGES), [_start(record, kind) for kind in ("cold", "warm")])
        yield from ("", BESIDE, "")
        yield from table(
            (
                *("in flight", "tok/s, ours", "tok/s, `vllm bench serve`"),
                *("TTFT, ours against the server's, ms", "theirs against the server's, ms"),
                *("time per token, ours against the server's, ms", "theirs against the server's, ms"),
                "of the bound, ours",
            ),
            [[*_compared(run), _share(folder, name, run, bandwidth["copy_gb_s"])] for run in record["runs"]],
        )
        yield from ("", DUMMY) if "dummy" in title else ()
        yield from ("", *_planned(record))
    yield from _matrix(json.loads((folder / "backends-smollm2-135m.json").read_text()))
    yield from _ran(json.loads((folder / "audit-against-ran.json").read_text()))
    yield from _faults(json.loads((folder / "faults.json").read_text()))


def _share(folder: Path, name: str, run: Mapping[str, Any], copy_gb_s: float) -> str:
    bound = json.loads((folder / f"bench-{name}-c{run['concurrency']}.json").read_text())["roofline"]
    return f"{bound['runs'][0]['share'] * bound['gb_s'] / copy_gb_s:.1%}"


def _matrix(record: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Attention backends and CUDA graphs", "", MATRIX, "")
    yield from table(
        (
            "tried",
            "came of it",
            "seen in the log",
            "tok/s, each time",
            "right answers",
            "start, s",
            "held, GiB",
        ),
        [_tried(trial) for trial in record["trials"]],
    )


def _tried(trial: Mapping[str, Any]) -> list[object]:
    seen, quality = trial["seen"], trial["seen"]["quality"]
    rates = ", ".join(f"{rate:,.0f}" for rate in seen["rates"])
    held = "-" if seen["gpu_mib"] is None else f"{seen['gpu_mib'] / 1024:.1f}"
    right = f"{quality['right']} of {quality['asked']}" if quality else "-"
    return [trial["label"], trial["outcome"], trial["used"], rates, right, f"{trial['load_s']:.0f}", held]


def _ran(record: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## The audit against what ran", "", RAN, "")
    yield from table(
        ("library", "loads", "as it is", "by PTX", "none"),
        [[row["file"], row["loads"], row["native"], row["ptx"], row["none"]] for row in record["with_gpu_code"]],
    )


def _faults(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from ("", "## Faults, provoked there", "")
    yield from table(("fault", "said by", "as", "seconds"), [_fault(record) for record in records])


def _fault(record: Mapping[str, Any]) -> list[object]:
    verb = "watch" if "watch" in record else "up"
    said = str(record[f"{verb}_said"])
    codes = re.findall(r'"code": "([\w-]+)"', said) or re.findall(r"\[([a-z0-9-]+)\]", said)
    return [
        record["fault"],
        f"`inv {verb}`",
        f"`{codes[0]}`" if codes else "no known cause then",
        record[f"{verb}_seconds"],
    ]


def _start(record: Mapping[str, Any], kind: str) -> list[object]:
    told = record[kind]
    return [kind, told["seconds"], *(told["stages"].get(stage, "-") for stage in STAGES)]


def _compared(run: Mapping[str, Any]) -> list[object]:
    ours, theirs = run["ours"], run["vllm bench serve"]
    cells: list[object] = [
        run["concurrency"],
        f"{ours['output_tokens_per_s']:,.0f}",
        f"{theirs['output_tokens_per_s']:,.0f}",
    ]
    for figure in ("ttft_ms", "tpot_ms"):
        for client in (ours, theirs):
            mine, server = client[figure]["mean"], client["server"][figure]["mean"]
            cells.append(f"{mine:.2f} - {server:.2f} = {mine - server:.2f}")
    return cells


def _planned(record: Mapping[str, Any]) -> Iterator[str]:
    plan = record["fit"]
    printed = [line.split("] ", 1)[-1] for line in record["printed"]]
    told = f"{plan['weights_gib']} GiB of weights and {plan['pool_gib']} GiB for tokens"
    yield f"The planner (`inv fit`) said {told} before; vLLM printed:"
    yield ""
    yield "```text"
    for word in PRINTED:
        yield from (line for line in printed if word in line and "Initializing" not in line)
    yield "```"


def main() -> None:
    """Print the page."""
    sys.stdout.write("\n".join(page(Path(sys.argv[1]))) + "\n")


if __name__ == "__main__":
    main()
