"""How fast is the audit, and how much memory of its own does it take?

Usage: ``python benchmarks/audit_speed.py SITE [--cuobjdump PROGRAM] [--library libtorch_cuda.so] [--out
FILE]``

The environment is audited several times, each in a fresh process. Anonymous memory is the peak of what the
kernel says (/proc/self/smaps_rollup), because mapped file pages belong to the page cache.
cuobjdump is timed on the same file, one after the other, after both have read it once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from blackstack.audit import Question, audit, of_site
from blackstack.audit.binary import mapped
from blackstack.audit.elf import read_elf
from blackstack.audit.fatbin import read_units


def anonymous() -> int:
    """Return this process's anonymous memory in bytes."""
    text = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    return int(re.search(r"^Anonymous:\s+(\d+)", text, re.MULTILINE)[1]) << 10  # type: ignore[index]


def once(site: Path) -> dict[str, float]:
    """Audit SITE in this process, sampling memory from a second thread."""
    peak, done = [anonymous()], threading.Event()

    def sample() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], anonymous())

    before = peak[0]
    thread = threading.Thread(target=sample)
    thread.start()
    start, cpu = time.perf_counter(), time.process_time()
    report = audit(of_site(site), Question())
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak[0] = max(peak[0], anonymous())
    done.set()
    thread.join()
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "anonymous_mb": peak[0] / 1e6,
        "anonymous_before_mb": before / 1e6,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "files": sum(len(package.files) for package in report.packages),
    }


def environment(site: Path, runs: int) -> dict[str, object]:
    """Audit SITE in RUNS fresh processes."""
    command = [sys.executable, __file__, str(site), "--once"]
    rows = [json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(runs)]
    size = sum(entry.stat().st_size for entry in site.rglob("*") if entry.is_file() and not entry.is_symlink())
    return {
        "bytes": size,
        "files": rows[0]["files"],
        "seconds_median": statistics.median(row["seconds"] for row in rows),
        "seconds_worst": max(row["seconds"] for row in rows),
        "cpu_seconds_median": statistics.median(row["cpu_seconds"] for row in rows),
        "anonymous_mb_worst": max(row["anonymous_mb"] for row in rows),
        "peak_rss_mb_worst": max(row["peak_rss_mb"] for row in rows),
        "runs": len(rows),
    }


def architectures(library: Path) -> list[str]:
    """Read one library's GPU code as the audit does."""
    with mapped(library) as view:
        return [f"{i.kind} sm_{i.arch}" for unit in read_units(read_elf(view)) for i in unit.images]


def against_cuobjdump(program: str, library: Path, runs: int) -> dict[str, object]:
    """Time cuobjdump and the audit on one file, and compare what they found."""
    architectures(library)
    ours = []
    for _ in range(runs):
        start = time.perf_counter()
        found = architectures(library)
        ours.append(time.perf_counter() - start)
    start = time.perf_counter()
    text = subprocess.run([program, "--list-elf", library], capture_output=True, text=True, check=True).stdout
    theirs = time.perf_counter() - start
    listed = re.findall(r"\.(sm_\d+[af]?)\.cubin", text)
    cubins = [name.split()[1] for name in found if name.startswith("cubin")]
    usage = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {
        "library": library.name,
        "library_bytes": library.stat().st_size,
        "audit_seconds_median": statistics.median(ours),
        "cuobjdump_seconds": theirs,
        "times_faster": theirs / statistics.median(ours),
        "cuobjdump_rss_mb": usage / 1e3,
        "cubins_audit": len(cubins),
        "cubins_cuobjdump": len(listed),
    }


def main() -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("--cuobjdump")
    parser.add_argument("--library", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(once(options.site)))
        return
    result: dict[str, object] = {
        "ran_on": {
            "cpus": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        },
        "environment": environment(options.site, options.runs),
    }
    if options.cuobjdump:
        library = options.library or options.site / "torch/lib/libtorch_cuda.so"
        result["cuobjdump"] = against_cuobjdump(options.cuobjdump, library, options.runs)
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
