"""What `inv up` adds to `docker compose up --wait` of the same file; needs an engine and the stack's image.

Run: python benchmarks/up_overhead.py [--stack llamacpp-cpu] [--runs 7]

The two are run in turn. `inv up` does more: it looks at the machine, and waits for a real completion where compose
is satisfied with the health check. Printed: the median seconds of each, and the median of the differences pair by
pair; to reach: 1.5 s.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def seconds(*argv: str) -> float:
    """Return the wall time of a command that must succeed."""
    began = time.perf_counter()
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="llamacpp-cpu")
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    inv = (sys.executable, "-m", "invoke")
    compose = ("docker", "compose", "--file", f"compose/{args.stack}.yaml")
    pairs = []
    for _ in range(args.runs):
        with_inv = seconds(*inv, "up", "--stack", args.stack, "--runtime", "docker")
        seconds(*inv, "down", "--stack", args.stack)
        with_compose = seconds(*compose, "up", "--detach", "--wait")
        seconds(*compose, "down")
        pairs.append((with_inv, with_compose))
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    added = statistics.median(one - other for one, other in pairs)
    print(
        f"inv up: {ours:.2f} s; docker compose up --wait: {theirs:.2f} s; "
        f"added {added:+.2f} s (to reach: at most +1.50), {args.runs} pairs"
    )


if __name__ == "__main__":
    main()
