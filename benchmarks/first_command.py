"""The README's first command, from a clean clone to a printed result, without Docker and GPU.

Run: python benchmarks/first_command.py [--out results/first-command.json]

It clones this repository (what is committed) into a folder of its own, makes a fresh virtual environment there as
a newcomer's shell would have one, without pip's cache, and types the two halves of the command. Printed and
written: the split into install, environment, start and bench; to reach: 150 s on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAGE = re.compile(r"^  (?P<stage>[\w .:/-]+?): (?P<seconds>[\d.]+) s$", re.MULTILINE)

STARTING = ("create", "import", "weights", "kv-cache", "serving", "first-completion")  # what llama.cpp goes through


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        clone, env = Path(folder, "blackstack"), Path(folder, "env")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
        shell = {
            **os.environ,
            "PATH": f"{env / 'bin'}:{os.environ['PATH']}",
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
            "PIP_NO_CACHE_DIR": "1",  # as on a machine that has never seen these packages
        }
        began = time.perf_counter()
        subprocess.run(["python3", "-m", "pip", "install", "--quiet", "-e", "."], cwd=clone, env=shell, check=True)
        installed = time.perf_counter()
        inv = subprocess.run(
            ["inv", "up", "bench", "down"], cwd=clone, env=shell, check=True, capture_output=True, text=True
        )
        ended = time.perf_counter()
    print(inv.stdout)
    stages = {match["stage"]: float(match["seconds"]) for match in STAGE.finditer(inv.stderr)}
    bench = {name: seconds for name, seconds in stages.items() if name.startswith(("bench", "look"))}
    record = {
        "command": "python3 -m pip install -e . && inv up bench down",
        "measured_at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "seconds": {
            "install": round(installed - began, 1),
            "environment": round(sum(stages.get(name, 0) for name in ("environment", "install")), 1),
            "start": round(sum(stages.get(name, 0) for name in STARTING), 1),
            "bench": round(sum(bench.values()), 1),
            "all": round(ended - began, 1),
        },
    }
    print(json.dumps(record["seconds"]), "to reach: all in 150 s")
    if out:
        out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
