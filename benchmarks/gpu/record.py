"""Everything that needs a GPU, by the project's own commands: what a GPU machine is rented for, in one go.

    python benchmarks/gpu/record.py --python PATH --model FOLDER [--gpt-oss FOLDER] [--out DIR] PART [PART …]

PATH is an interpreter whose environment has vLLM; FOLDER holds a model (``--gpt-oss``: a config.json with a tokenizer
is enough, the weights are dummies of the right shapes). Each part writes into DIR and leaves nothing running:

look      the doctor, the audit, the planner, and the card's own copy bandwidth
ran       the audit's word on each library, against the libraries that a server which answers has loaded
smol      SmolLM2-135M: a cold and a warm start by stage, bench at 1, 8, 32 and 128, beside `vllm bench serve`
gpt-oss   the same for gpt-oss-20b with dummy weights
backends  the matrix of attention backends and CUDA graphs, with the questions whose answers are known
faults    what goes wrong on a real card, and whether it ends in its finding
tune      the best flags of gpt-oss-20b against the defaults
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STACK = "vllm-host"
URL = "http://127.0.0.1:8000"
CONCURRENCY = (1, 8, 32, 128)
INPUT_TOKENS, OUTPUT_TOKENS = 32, 128
HISTOGRAMS = {
    "ttft_ms": "vllm:time_to_first_token_seconds",
    "gap_ms": "vllm:inter_token_latency_seconds",
    "tpot_ms": "vllm:request_time_per_output_token_seconds",
    "e2e_ms": "vllm:e2e_request_latency_seconds",
}
COPY = """
import json, torch
x = torch.empty(2 << 30, dtype=torch.int8, device="cuda"); y = torch.empty_like(x)
rates = []
for _ in range(13):
    a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    a.record(); y.copy_(x); b.record(); torch.cuda.synchronize()
    rates.append(2 * x.numel() / a.elapsed_time(b) / 1e6)
p = torch.cuda.get_device_properties(0)
print(json.dumps({"gpu": p.name, "capability": f"{p.major}.{p.minor}", "copy_gb_s": sorted(rates[3:])[5],
                  "what": "median of ten copies of 2 GiB on the device, bytes read and written"}))
"""
HOLD = """
import time, torch
x = torch.empty({} << 30, dtype=torch.int8, device="cuda")
print("held", flush=True)
time.sleep(600)
"""


@dataclass(frozen=True)
class Machine:
    """Where things are.

    Attributes:
        python: an interpreter that has vLLM.
        model: a folder with weights, and gpt_oss one without.
        out: where the records go.
        wished: knobs for every server, as KEY=VALUE; two lanes on one card need a port and a share of it each.
        only: of the faults, those to provoke; none: all.
        patience: seconds that `inv backends` and `inv tune` get; both go on where they were stopped.
        budget: of `inv tune`.
    """

    python: str
    model: str
    gpt_oss: str | None
    out: Path
    wished: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    patience: float = 590
    budget: str = "8m"

    def wishes(self, which: str, *more: str) -> list[str]:
        """Return the words of `inv up` for one of the two models."""
        words = ["--stack", STACK, "--python", self.python, *(word for one in self.wished for word in ("--set", one))]
        if which == "smol":
            return [*words, "--set", f"MODEL={self.model}", *more]
        if self.gpt_oss is None:
            raise SystemExit("this part needs --gpt-oss FOLDER")
        dummy = ("MODEL=" + self.gpt_oss, "SERVED_MODEL_NAME=gpt-oss-20b", "LOAD_FORMAT=dummy")
        return [*words, *(word for one in dummy for word in ("--set", one)), *more]

    def keep(self, name: str, data: object) -> None:
        """Write one record."""
        text = data if isinstance(data, str) else json.dumps(data, indent=1, ensure_ascii=False)
        (self.out / name).write_text(f"{text.rstrip()}\n", encoding="utf-8")


def without_places(folder: Path, places: Mapping[str, str]) -> None:
    """Write names in the place of this machine's folders into every record: they are nobody's business."""
    for file in folder.glob("*.*"):
        text = file.read_text(encoding="utf-8")
        for place, name in places.items():
            text = text.replace(place, name)
        file.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Done:
    """What a command said, and how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        """Both streams."""
        return f"{self.out}\n{self.err}".strip()


def inv(*words: str, env: Mapping[str, str] | None = None, patience: float = 500) -> Done:
    """Run one of our own commands, and show it."""
    print("+ inv", *words, flush=True)
    began = time.monotonic()
    command = [sys.executable, "-m", "invoke", *words]
    surroundings = {**os.environ, **(env or {})}
    with subprocess.Popen(
        command, cwd=ROOT, env=surroundings, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            out, err = process.communicate(timeout=patience)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as late:
            # As Ctrl-C does it: our commands clear up after themselves, when they are asked and not killed.
            process.send_signal(signal.SIGINT)
            try:
                out, err = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
            if isinstance(late, KeyboardInterrupt):
                raise
    code = process.returncode
    seconds = round(time.monotonic() - began, 1)
    print(f"  → {code} after {seconds} s", *(err.strip().splitlines()[-6:] if code else ()), sep="\n    ", flush=True)
    return Done(code, out, err, seconds)


def as_json(done: Done) -> object:
    """Read what a command printed with --json; its words where that is no JSON."""
    try:
        return json.loads(done.out)
    except ValueError:
        return {"exit": done.code, "said": done.said[-4000:]}


@contextmanager
def served(machine: Machine, which: str, *more: str) -> Iterator[Done]:
    """Bring the stack up, and down whatever happens."""
    try:
        yield inv("up", *machine.wishes(which, *more))
    finally:
        inv("down", "--stack", STACK)


def stages() -> object:
    """Return the seconds of each stage of the last start."""
    path = ROOT / ".blackstack/run" / STACK / "up.json"
    return json.loads(path.read_text(encoding="utf-8")).get("stage_seconds") if path.is_file() else None


def log_lines(pattern: str) -> list[str]:
    """Return the lines of the server's log that match."""
    return [
        line for line in inv("logs", "--stack", STACK, "--lines", "5000").out.splitlines() if re.search(pattern, line)
    ]


def look(machine: Machine) -> None:
    """Ask what can be known without starting anything."""
    machine.keep("doctor.json", as_json(inv("doctor", "--json")))
    machine.keep("doctor-stack.json", as_json(inv("doctor", "--stack", STACK, "--json")))
    machine.keep("doctor.txt", inv("doctor").said)
    machine.keep("audit.json", as_json(inv("audit", "--python", machine.python, "--for", "9.0", "--json")))
    machine.keep("audit.txt", inv("audit", "--python", machine.python, "--for", "9.0").said)
    done = subprocess.run([machine.python, "-c", COPY], capture_output=True, text=True, check=False)
    machine.keep("bandwidth.json", json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr[-2000:]})


def ran(machine: Machine) -> None:
    """Hold the audit's RUNS ON against the libraries of a server that answered."""
    told = as_json(inv("audit", "--python", machine.python, "--for", "9.0", "--json"))
    with served(machine, "smol") as up:
        loaded = sorted({library for pid in processes() for library in libraries(pid)}) if up.code == 0 else []
    machine.keep("audit-against-ran.json", {"up": up.code, **against(told, loaded)})


def against(told: object, loaded: Sequence[str]) -> dict[str, object]:
    """Return, for each loaded library with GPU code, what the audit said of it."""
    if not isinstance(told, dict) or "packages" not in told:
        return {"audit": told}
    gpu, rows = told["gpu"], []
    for name, package in told["packages"].items():
        for path, file in package["files"].items():
            units = file["runs"].get(gpu, {})
            if units.get("total") and any(library.endswith(f"/{path}") for library in loaded):
                rows.append({"package": name, "file": path, "loads": file["loads"], **units})
    findings = [finding["code"] for finding in told["findings"]]
    return {"gpu": gpu, "loaded": len(loaded), "with_gpu_code": rows, "features": told["features"], "found": findings}


def libraries(pid: int) -> set[str]:
    """Return the shared libraries that a process has mapped."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    except OSError:  # it ended, or is another's
        return set()
    return set(re.findall(r"(/\S+\.so[.\d]*)$", maps, re.MULTILINE))


def serve_and_measure(which: str) -> Callable[[Machine], None]:
    """Return the part that starts one model cold and warm and measures it."""

    def part(machine: Machine) -> None:
        name = {"smol": "smollm2-135m", "gpt-oss": "gpt-oss-20b"}[which]
        served_as = {"smol": "SmolLM2-135M-Instruct", "gpt-oss": "gpt-oss-20b"}[which]
        folder = machine.model if which == "smol" else str(machine.gpt_oss)
        record: dict[str, object] = {"model": name}
        with served(machine, which) as up:
            record["cold"] = {"exit": up.code, "seconds": up.seconds, "stages": stages(), "said": up.said[-3000:]}
            if up.code == 0:
                record["printed"] = log_lines(
                    r"KV cache (size|memory)|Model loading took|attention backend|Maximum conc|CUDA graph|compile"
                )
                machine.keep(f"{name}-log.txt", inv("logs", "--stack", STACK, "--lines", "2000").out)
                record["runs"] = [measured(machine, name, served_as, folder, count) for count in CONCURRENCY]
        if up.code == 0:
            with served(machine, which) as warm:
                record["warm"] = {"exit": warm.code, "seconds": warm.seconds, "stages": stages()}
        planner = ("--model", folder, "--gpu", "h200", "--engine", "vllm==0.23.0", "--utilization", "0.9", "--json")
        record["fit"] = as_json(inv("fit", *planner))
        machine.keep(f"{name}.json", record)

    return part


def measured(machine: Machine, name: str, served_as: str, folder: str, concurrency: int) -> dict[str, object]:
    """Measure with both clients in the same minutes, each against what the server counted meanwhile."""
    requests = max(24, 4 * concurrency)
    file = machine.out / f"bench-{name}-c{concurrency}.json"
    load = (
        *("bench", "--stack", STACK, "--concurrency", str(concurrency), "--requests", str(requests), "--warmup", "0"),
        *("--input-tokens", str(INPUT_TOKENS), "--output-tokens", str(OUTPUT_TOKENS)),
    )
    with tempfile.TemporaryDirectory() as forgotten:  # what is compiled on first use, neither of the two pays for
        inv(*load, "--out", f"{forgotten}/warm-up.json")
    before = histograms()
    ours = inv(*load, "--out", str(file))
    between = histograms()
    theirs_file = machine.out / f"vllm-bench-{name}-c{concurrency}.json"
    command = [
        *(
            machine.python,
            "-m",
            "vllm.entrypoints.cli.main",
            "bench",
            "serve",
            "--backend",
            "openai",
            "--base-url",
            URL,
        ),
        *("--model", served_as, "--tokenizer", folder, "--dataset-name", "random", "--ignore-eos"),
        *("--random-input-len", str(INPUT_TOKENS), "--random-output-len", str(OUTPUT_TOKENS)),
        *("--num-prompts", str(requests), "--max-concurrency", str(concurrency), "--num-warmups", "0"),
        *("--save-result", "--result-dir", str(machine.out), "--result-filename", theirs_file.name),
    ]
    began = time.monotonic()
    theirs = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    took = round(time.monotonic() - began, 1)
    after = histograms()
    row: dict[str, object] = {"concurrency": concurrency, "requests": requests}
    row["ours"] = {"exit": ours.code, "seconds": ours.seconds, **_ours(file), "server": _between(before, between)}
    row["vllm bench serve"] = {"exit": theirs.returncode, "seconds": took, **_theirs(theirs_file)}
    row["vllm bench serve"]["server"] = _between(between, after)  # type: ignore[index]
    if theirs.returncode:
        row["vllm bench serve said"] = theirs.stderr[-1500:]
    return row


def histograms() -> dict[str, tuple[float, float]]:
    """Return the server's own sums (seconds) and counts."""
    with urllib.request.urlopen(f"{URL}/metrics", timeout=30) as answer:  # noqa: S310 - loopback
        page = answer.read().decode()
    found = {}
    for name, theirs in HISTOGRAMS.items():
        values = [
            sum(float(v) for v in re.findall(rf"^{re.escape(theirs)}_{part}(?:{{[^}}]*}})? (\S+)$", page, re.MULTILINE))
            for part in ("sum", "count")
        ]
        found[name] = (values[0], values[1])
    return found


def _between(before: Mapping[str, tuple[float, float]], after: Mapping[str, tuple[float, float]]) -> dict[str, object]:
    """Return the means of what the server counted between two looks, in milliseconds."""
    means: dict[str, object] = {}
    for name, (total, count) in after.items():
        n = count - before[name][1]
        means[name] = {"mean": round(1000 * (total - before[name][0]) / n, 4) if n else None, "n": int(n)}
    return means


def _ours(file: Path) -> dict[str, object]:
    if not file.is_file():
        return {}
    (run,) = json.loads(file.read_text(encoding="utf-8"))["runs"]
    keys = ("output_tokens_per_s", "failures", "client")
    return {**{key: run[key] for key in keys}, **{name: run[name] for name in HISTOGRAMS}}


def _theirs(file: Path) -> dict[str, object]:
    if not file.is_file():
        return {}
    told = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    names = {"ttft_ms": "ttft", "gap_ms": "itl", "tpot_ms": "tpot", "e2e_ms": "e2el"}
    found: dict[str, object] = {
        "output_tokens_per_s": told.get("output_throughput"),
        "completed": told.get("completed"),
    }
    for ours, short in names.items():
        found[ours] = {key: told.get(f"{key}_{short}_ms") for key in ("mean", "median", "p99")}
    return found


def backends(machine: Machine) -> None:
    """Try every attention backend, with and without CUDA graphs."""
    words = machine.wishes("smol", "--axis", "attention,graphs", "--cross", "--json")
    machine.keep("backends-smollm2-135m.json", as_json(inv("backends", *words, patience=machine.patience)))


def tune(machine: Machine) -> None:
    """Look for better flags than the defaults."""
    load = ("--concurrency", "128", "--requests", "256", "--output-tokens", "128")
    # On both sides: eight graphs instead of fifty (captured in 10 s, not in 46), and the sampler that needs no nvcc:
    # what a first start spends 85 s on between profiling and graphs is probably FlashInfer's, which is not verified.
    lean = ("--extra=--cudagraph-capture-sizes 1 2 4 8 16 32 64 128", "--extra=VLLM_USE_FLASHINFER_SAMPLER=0")
    searched = ("--axis", "quantisation", "--set", "MAX_NUM_SEQS=128", *lean, "--budget", machine.budget)
    words = machine.wishes("gpt-oss", *load, *searched, "--json")
    machine.keep("tune-gpt-oss-20b.json", as_json(inv("tune", *words, patience=machine.patience)))


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, on purpose.

    Attributes:
        name: of the record.
        expected: the codes that a diagnosis may give.
        wishes: what `inv up` is told.
        env: of `inv up`.
        hold_gib: memory of the card that another process holds meanwhile.
        which: of the two models.
        strike: the signal that the engine's own process gets, once it is up; then `inv watch` must see it.
    """

    name: str
    expected: tuple[str, ...]
    wishes: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None
    hold_gib: int = 0
    which: str = "smol"
    strike: signal.Signals | None = None


FAULTS = (
    Fault("vram-held", ("gpu-memory-already-in-use", "cuda-oom"), hold_gib=120),
    Fault(
        "utilisation-too-high",
        ("gpu-memory-utilization-too-high",),
        ("--set", "GPU_MEMORY_UTILIZATION=1.0"),
    ),
    Fault(
        "context-too-long-for-the-pool",
        ("kv-cache-too-small-for-max-len",),
        ("--set", "GPU_MEMORY_UTILIZATION=0.12", "--set", "MAX_MODEL_LEN=131072"),
        which="gpt-oss",
    ),
    Fault("context-too-long-for-the-model", ("max-model-len-above-model",), ("--set", "MAX_MODEL_LEN=100000")),
    Fault(
        "wrong-backend",
        ("attn-backend-unsupported-by-layer", "cli-invalid-choice"),
        ("--extra=--attention-backend FLASHMLA",),
    ),
    Fault(
        "no-nvcc-for-flashinfer",
        ("flashinfer-jit-nvcc-missing", "flashinfer-jit-bad-cuda-home"),
        ("--extra=--attention-backend FLASHINFER",),
        {
            "CUDA_HOME": "/nonexistent",
            "PATH": ":".join([str(Path(shutil.which("ninja") or "/bin/ninja").parent), "/usr/bin", "/bin"]),
            "FLASHINFER_WORKSPACE_BASE": tempfile.gettempdir() + "/empty-flashinfer",
        },
    ),
    Fault("engine-core-killed", ("killed-from-outside", "server-gone", "native-segfault"), strike=signal.SIGKILL),
    Fault("engine-core-stopped", ("hung-behind-health",), strike=signal.SIGSTOP),
)


def faults(machine: Machine) -> None:
    """Provoke each, and see whether it ends in its finding."""
    records = []
    for fault in FAULTS:
        if machine.only and fault.name not in machine.only:
            continue
        record = provoke(machine, fault)
        records.append(record)
        print(json.dumps(record, ensure_ascii=False)[:600], flush=True)
        machine.keep("-".join(["faults", *machine.only]) + ".json", records)


def provoke(machine: Machine, fault: Fault) -> dict[str, object]:
    """Provoke one fault and return what was said of it, and when."""
    record: dict[str, object] = {"fault": fault.name, "expected": fault.expected}
    with held(machine, fault.hold_gib):
        try:
            up = inv("up", *machine.wishes(fault.which, *fault.wishes), env=fault.env, patience=300)
            record |= {"up": up.code, "up_seconds": up.seconds, "up_said": up.said[-3000:]}
            if fault.strike and up.code == 0:
                record |= struck(fault.strike)
            record["diagnosis"] = as_json(inv("diagnose", "--stack", STACK, "--json"))
            machine.keep(f"fault-{fault.name}.log", inv("logs", "--stack", STACK, "--lines", "400").out)
        finally:
            if fault.strike == signal.SIGSTOP:
                for pid in engine_cores():
                    os.kill(pid, signal.SIGCONT)
            inv("down", "--stack", STACK)
    return record


def struck(strike: signal.Signals) -> dict[str, object]:
    """Hit the engine's own process, and let `inv watch` find out."""
    pids = engine_cores()
    for pid in pids:
        os.kill(pid, strike)
    watched = inv("watch", "--stack", STACK, "--json", patience=120)
    return {"struck": pids, "watch": watched.code, "watch_seconds": watched.seconds, "watch_said": watched.said[-2000:]}


def engine_cores() -> list[int]:
    """Return our server's processes that call themselves EngineCore; those of another server here are not hit."""
    return [pid for pid, name in processes().items() if "EngineCore" in name]


def processes() -> dict[int, str]:
    """Return our server's processes, by their numbers, with the name and the command line of each."""
    note = ROOT / ".blackstack/run" / STACK / "server.json"
    session = json.loads(note.read_text(encoding="utf-8")).get("pid") if note.is_file() else None
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            name = (place / "comm").read_text() + (place / "cmdline").read_text()
            if os.getsid(int(place.name)) == session:
                found[int(place.name)] = name
        except OSError:
            continue
    return found


@contextmanager
def held(machine: Machine, gib: int) -> Iterator[None]:
    """Hold memory of the card meanwhile, from another process."""
    if not gib:
        yield
        return
    with subprocess.Popen([machine.python, "-c", HOLD.format(gib)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None  # noqa: S101 - stdout=PIPE
        print("  held by another process:", gib, "GiB", holder.stdout.readline().strip(), flush=True)
        try:
            yield
        finally:
            holder.kill()


PARTS: Mapping[str, Callable[[Machine], None]] = {
    "look": look,
    "ran": ran,
    "smol": serve_and_measure("smol"),
    "gpt-oss": serve_and_measure("gpt-oss"),
    "backends": backends,
    "faults": faults,
    "tune": tune,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the parts that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS, metavar="PART")
    parser.add_argument("--python", default=shutil.which("python3") or sys.executable)
    parser.add_argument("--model", required=True)
    parser.add_argument("--gpt-oss")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a knob for every server")
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="of the faults, those to provoke")
    parser.add_argument("--patience", type=float, default=590, metavar="SECONDS", help="of backends and of tune")
    parser.add_argument("--budget", default="8m", help="of tune: 8m, 20m")
    parser.add_argument("--out", type=Path, default=ROOT / "results/gpu")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    only = tuple(filter(None, options.only.split(",")))
    if unknown := set(only) - {fault.name for fault in FAULTS}:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    folders = (options.python, options.model, options.gpt_oss, options.out.resolve())
    machine = Machine(*folders, tuple(options.set), only, options.patience, options.budget)
    places = {str(ROOT): "blackstack", options.model: Path(options.model).name, options.python: "python"}
    places |= {options.gpt_oss: "gpt-oss-20b"} if options.gpt_oss else {}
    places |= {folder: Path(folder).name for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder}
    for part in options.parts:
        began = time.monotonic()
        PARTS[part](machine)
        without_places(options.out, places)
        print(f"# {part}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
