"""What `inv --list` costs beside the same command on a tasks.py with one empty task.

Run: python benchmarks/inv_list.py [--runs 15]

The two are run in turn, so that a machine that gets slower in between slows both. Printed: the median seconds of
each, and the median of the ratios pair by pair; to reach: 1.6.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EMPTY = '''from invoke.tasks import task


@task
def nothing(c):
    """Do nothing."""
'''


def seconds(folder: Path) -> float:
    """Return the wall time of `inv --list` in a folder."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "invoke", "--list"], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder)
        (empty / "tasks.py").write_text(EMPTY)
        seconds(ROOT), seconds(empty)  # caches
        pairs = [(seconds(ROOT), seconds(empty)) for _ in range(runs)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    print(f"inv --list: {ours:.3f} s; with an empty tasks.py: {theirs:.3f} s; ratio {ratio:.2f} (to reach: 1.6)")


if __name__ == "__main__":
    main()
