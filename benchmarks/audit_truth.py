"""Is the audit right? Every pair of torch and packages is audited, then really loaded, and the two compared.

Usage: ``python benchmarks/audit_truth.py STORE [--pairs FILE] [--only TEXT] [--keep] [--out results/audit/truth.json]``

STORE holds unpacked wheels as NAME-VERSION; what is missing is downloaded with pip. That is gigabytes, so
it goes pair by pair, and without --keep a package is removed once no later pair wants it. Each shared
library is opened by a real ``dlopen`` in a forked child of a process that has imported that torch, so a
death in a static initialiser counts as what it is. A stub stands in for the driver. Nothing runs on a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from blackstack.audit import Question, audit, of_site
from blackstack.audit.binary import UnreadableError, mapped
from blackstack.audit.elf import read_elf

PAIRS = Path(__file__).with_name("audit_pairs.json")
USELESS = ("torch/include/", "torch/share/", "torch/test/")
OURS = re.compile(r"nvidia-|cuda-|numpy|pillow|markupsafe|sympy|triton|setuptools|packaging|torch$")

ORACLE = r"""
import ctypes, json, os, re, sys
sys.path.insert(0, sys.argv[1])
answers = {}
try:
    import torch
    answers["torch"] = "ok"
except BaseException as error:
    answers["torch"] = str(error)[:300]
for path in json.load(sys.stdin):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        answer = ""
        for _ in range(6):  # a package opens its own libraries first, and so does this
            try:
                ctypes.CDLL(path)
                answer = "ok"
                break
            except OSError as error:
                answer = str(error)[:300]
                missing = re.match(r"(\S+): cannot open", answer)
                beside = os.path.join(os.path.dirname(path), missing[1]) if missing else ""
                if not os.path.exists(beside):
                    break
                try:
                    ctypes.CDLL(beside)
                except OSError as error:
                    answer = str(error)[:300]
                    break
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    answer = os.read(reader, 1000).decode()
    os.close(reader)
    status = os.waitpid(child, 0)[1]
    answers[path] = f"killed by signal {status & 127}" if status else answer
print(json.dumps(answers))
"""


def fetch(store: Path, name: str) -> Path:
    """Download and unpack one wheel, given as NAME-VERSION, unless it is there."""
    folder = store / name
    if folder.is_dir():
        return folder
    project, _, version = name.rpartition("-")
    with tempfile.TemporaryDirectory(dir=store) as download:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*command, "--dest", download, f"{project}=={version}"], check=True)
        (wheel,) = Path(download).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(folder, [n for n in packed.namelist() if not n.startswith(USELESS)])
    return folder


def farm(site: Path, packages: list[Path]) -> None:
    """Lay packages over each other with hard links: a folder of packages that costs no disk."""
    for package in packages:
        for path in package.rglob("*"):
            target = site / path.relative_to(package)
            if path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                os.link(path, target)
    helper = site / "torch/bin/torch_shm_manager"  # zip forgets that it may be executed
    if helper.exists():
        helper.chmod(0o755)


def stub(folder: Path, site: Path) -> None:
    """Compile a driver that has every name that anybody wants of one, and does nothing."""
    wanted = set()
    for path in site.rglob("*.so*"):
        try:
            with mapped(path) as view:
                wanted |= {s.name for s in read_elf(view).imports if re.match(r"cu[A-Z]|nvml", s.name)}
        except (UnreadableError, OSError):
            continue
    source = "".join(f"int {name}(void) {{ return 100; }}\n" for name in sorted(wanted))
    for library in ("libcuda.so.1", "libnvidia-ml.so.1"):
        command = [
            "gcc",
            "-w",
            "-shared",
            "-fPIC",
            f"-Wl,-soname,{library}",
            "-o",
            str(folder / library),
            "-xc",
            "-",
        ]
        subprocess.run(command, input=source, text=True, check=True)


def compare(site: Path, drivers: Path) -> dict[str, object]:
    """Audit, then load, and say where they differ."""
    report = audit(of_site(site), Question())
    files = {
        f"{site}/{file.path}": (package, file)
        for package in report.packages
        if not OURS.match(package.name)
        for file in package.files
        if not file.path.endswith(".cubin")
    }
    environment = os.environ | {"LD_LIBRARY_PATH": str(drivers), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", ORACLE, str(site)]
    done = subprocess.run(
        command, input=json.dumps(list(files)), env=environment, capture_output=True, text=True, check=True
    )
    real = json.loads(done.stdout.splitlines()[-1])
    torch_real = real["torch"] == "ok"
    rows: list[dict[str, object]] = []
    for path, (package, file) in files.items():
        loads = torch_real and real[path] == "ok"
        verdict = "hit" if loads == (file.loads == "ok") else "miss" if file.loads == "ok" else "alarm"
        row = {"package": f"{package.name} {package.version}", "file": file.path, "static": file.loads}
        rows.append(row | {"real": real[path] if torch_real else "torch does not load", "verdict": verdict})
    return {
        "import torch": {"static": report.torch["loads"], "real": real["torch"]},
        "packages": {f"{p.name} {p.version}": p.loads for p in report.packages if not OURS.match(p.name)},
        "counts": {word: sum(row["verdict"] == word for row in rows) for word in ("hit", "miss", "alarm")},
        "differences": [row for row in rows if row["verdict"] != "hit"],
        "deaths_foretold": [row for row in rows if str(row["real"]).startswith("killed") and row["static"] != "ok"],
    }


def main() -> None:
    """Go through the pairs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--pairs", type=Path, default=PAIRS, help="other pairs, written as audit_pairs.json is")
    parser.add_argument("--only", default="")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    plan = json.loads(options.pairs.read_text(encoding="utf-8"))
    pairs = [pair for pair in plan["pairs"] if options.only in json.dumps(pair)]
    results = []
    for number, pair in enumerate(pairs):
        names = [
            f"torch-{pair['torch']}",
            *plan["libraries"][pair["libraries"]],
            *plan["python"],
            *pair["packages"],
        ]
        with tempfile.TemporaryDirectory(dir=options.store) as folder:
            site, drivers = Path(folder) / "site-packages", Path(folder) / "drivers"
            drivers.mkdir()
            farm(site, [fetch(options.store, name) for name in names])
            stub(drivers, site)
            found = compare(site, drivers)
        results.append({"torch": pair["torch"], "with": pair["packages"], **found})
        print(f"torch {pair['torch']:<8}{found['counts']}  {found['packages']}", flush=True)
        later = {name for other in pairs[number + 1 :] for name in (*other["packages"], f"torch-{other['torch']}")}
        for name in [*pair["packages"], f"torch-{pair['torch']}"]:
            if not options.keep and name not in later:
                shutil.rmtree(options.store / name)
    total = {word: sum(row["counts"][word] for row in results) for word in ("hit", "miss", "alarm")}
    print(total)
    if options.out:
        options.out.write_text(json.dumps({"total": total, "pairs": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
