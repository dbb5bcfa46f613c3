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
    " the server itself counted (`/metrics`) meanwhile; 32 tokens in, 128 out, no warm-up (so that at 128 in flight the"
    " first client of a server pays for what is compiled then):"
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
            ),
            [_compared(run) for run in record["runs"]],
        )
        yield from ("", *_planned(record))
    yield from _faults(json.loads((folder / "faults.json").read_text()))


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
