"""How true are a benchmark client's numbers? Ours and its peers against a server that stamps what it sends.

    python benchmarks/client_accuracy.py                          # ours, the «must show» table
    python benchmarks/client_accuracy.py --peers inference-perf   # a peer beside it, in an environment of its own
    python benchmarks/client_accuracy.py --only c=256 --repeats 3
    python benchmarks/client_accuracy.py --record --repeats 3 --peers floor inference-perf    # client_accuracy.md

The server (client_truth_server.c, built with gcc) is alone on core 0, each client alone on core 1 with all its
processes; both use CLOCK_MONOTONIC. An error is what the client reported less what the server did, on the same
statistic of the same run. Nothing here is asserted: other work on the machine shows in the numbers, so the load
average is printed beside them, and of several repeats the median.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import psutil
from client_peers import PEERS, Case, Client, Reported

HERE = Path(__file__).parent
SERVER_CORE, CLIENT_CORE = 0, 1

TIMED = ("--ttft-ms", "200", "--itl-ms", "10")
CASES = (
    Case(name="c=64", concurrency=64, requests=384, tokens=128, server=TIMED),
    Case(name="c=256", concurrency=256, requests=1024, tokens=128, server=TIMED),
    Case(name="c=1000", concurrency=1000, requests=2000, tokens=128, server=TIMED),
    Case(
        name="rate",
        concurrency=16,
        requests=1024,
        tokens=1000,
        server=("--ttft-ms", "1", "--itl-ms", "0", "--events", "16"),
    ),
    Case(name="faults", concurrency=16, requests=96, tokens=32, server=(*TIMED, "--faults")),
    Case(name="open", concurrency=64, requests=500, tokens=16, server=("--ttft-ms", "20", "--itl-ms", "1"), rate=50.0),
)


# What the client was built to reach; the best peers' figures were measured with the same method.
TARGETS = {
    "TTFT mean error, c=64, ms": 0.6,
    "TTFT mean error, c=256, ms": 4,
    "TTFT p99 error, c=256, ms": 10,
    "TTFT mean error, c=1000, ms": 15,
    "delivered, c=1000, tok/s": 84_000,
    "p99 of true gaps, c=256, ms": 12.5,
    "max token rate on one core, tok/s": 700_000,
    "client CPU s per 1,000 tokens, c=256": 0.015,
    "start to first request, c=256, s": 0.6,
    "last byte to exit, c=256, s": 0.5,
    "last byte to exit, c=1000, s": 0.5,
    "faults found (28 of 96 bad)": 28,
    "constant 50/s: s.d. of gaps at the server, ms": 0.5,
}
MORE_IS_BETTER = frozenset(
    {"delivered, c=1000, tok/s", "max token rate on one core, tok/s", "faults found (28 of 96 bad)"}
)
NOTES = "## Notes\n"  # what people write below this line is kept

Table = dict[str, dict[str, list[float]]]


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What the server knows of one request; nanoseconds."""

    read: int
    fault: int
    stamps: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One client on one case."""

    reported: Reported
    truth: Sequence[Sent]
    start_s: float
    tail_s: float
    cpu_s: float

    @property
    def good(self) -> list[Sent]:
        """Return the requests that the server answered in full."""
        return [sent for sent in self.truth if not sent.fault and sent.stamps]

    @property
    def tokens(self) -> int:
        """Return the tokens that were sent."""
        return sum(len(sent.stamps) for sent in self.truth)

    def ttft_ms(self) -> list[float]:
        """Return the true TTFTs."""
        return [(sent.stamps[0] - sent.read) / 1e6 for sent in self.good]

    def gaps_ms(self) -> list[float]:
        """Return the true gaps."""
        return [(b - a) / 1e6 for sent in self.good for a, b in pairwise(sent.stamps)]

    def span_s(self) -> float:
        """Return the time from the first request read to the last token sent."""
        return (max(sent.stamps[-1] for sent in self.good) - min(sent.read for sent in self.truth)) / 1e9

    def arrivals_ms(self) -> list[float]:
        """Return the gaps between arrivals."""
        return [(b - a) / 1e6 for a, b in pairwise(sorted(sent.read for sent in self.truth))]


@dataclass
class Usage:
    """The CPU of a process and of all its descendants, sampled while they run."""

    pid: int
    samples: list[tuple[int, float]] = field(default_factory=list)

    def sample(self) -> None:
        """Take one sample; processes that have ended keep their last value."""
        total = 0.0
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self.pid)
            for process in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    times = process.cpu_times()
                    total += times.user + times.system
        self.samples.append((time.monotonic_ns(), max(total, self.samples[-1][1] if self.samples else 0.0)))

    def between(self, begin: int, end: int) -> float:
        """Return the CPU seconds between two moments."""
        inside = [cpu for at, cpu in self.samples if begin <= at <= end]
        return inside[-1] - inside[0] if inside else 0.0


@contextlib.contextmanager
def truth_server(binary: Path, case: Case, log: Path) -> Iterator[str]:
    """Serve one case on a core of its own, at real-time priority where that is allowed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["taskset", "-c", str(SERVER_CORE), str(binary), "--port", str(port), "--log", str(log)]
    command += ["--tokens", str(case.tokens), *case.server]
    if subprocess.run(["chrt", "-f", "50", "true"], check=False, capture_output=True).returncode == 0:
        command = ["chrt", "-f", "50", *command]
    server = subprocess.Popen(command)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def read_log(path: Path) -> list[Sent]:
    """Read what the server wrote."""
    data, at, found = array("q", path.read_bytes()), 0, []
    while at < len(data):
        read, fault, count = data[at : at + 3]
        found.append(Sent(read=read, fault=fault, stamps=data[at + 3 : at + 3 + count]))
        at += 3 + count
    return found


def run(client: Client, case: Case, binary: Path, folder: Path) -> Outcome:
    """Run one client on one case."""
    log, out = folder / "truth.bin", folder / f"{client.name}.json"
    with truth_server(binary, case, log) as url:
        command, environment = client.command(case, url, out)
        begun = time.monotonic_ns()
        process = subprocess.Popen(
            ["taskset", "-c", str(CLIENT_CORE), *command],
            env={**os.environ, **environment},
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with contextlib.suppress(OSError):  # other work on the machine yields to a session that is nicer to itself
            Path(f"/proc/{process.pid}/autogroup").write_text("-15", encoding="ascii")
        usage, done = Usage(process.pid), threading.Event()

        def watch() -> None:
            while not done.wait(0.05):
                usage.sample()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            _, errors = process.communicate()
            ended = time.monotonic_ns()
        finally:
            done.set()
            watcher.join()
            with contextlib.suppress(ProcessLookupError):  # the usual case: it has ended, and its children with it
                os.killpg(process.pid, signal.SIGKILL)
    truth = read_log(log)
    try:
        reported = client.read(out)
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"{client.name} gave no result on {case.name}: {error!r}\n{errors[-2000:]}") from error
    first = min(sent.read for sent in truth)
    last = max((sent.stamps[-1] for sent in truth if sent.stamps), default=first)
    return Outcome(
        reported=reported,
        truth=truth,
        start_s=(first - begun) / 1e9,
        tail_s=(ended - last) / 1e9,
        cpu_s=usage.between(first, last),
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile, interpolated as numpy does it."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def figures(case: Case, outcome: Outcome) -> dict[str, float]:
    """Return the figures of the «must show» table that this case gives."""
    reported = outcome.reported
    if case.name == "faults":
        return {"faults found (28 of 96 bad)": reported.failed}
    if case.rate:
        return {f"constant {case.rate:g}/s: s.d. of gaps at the server, ms": statistics.stdev(outcome.arrivals_ms())}
    rate = outcome.tokens / outcome.span_s()
    if case.name == "rate":
        return {"max token rate on one core, tok/s": rate}
    ttft = outcome.ttft_ms()
    return {
        f"TTFT mean error, {case.name}, ms": reported.ttft_mean_ms - statistics.fmean(ttft),
        f"TTFT p99 error, {case.name}, ms": reported.ttft_p99_ms - percentile(ttft, 99),
        f"p99 of true gaps, {case.name}, ms": reported.gap_p99_ms,
        f"p99 of true gaps, {case.name}, the truth, ms": percentile(outcome.gaps_ms(), 99),
        f"delivered, {case.name}, tok/s": rate,
        f"client CPU s per 1,000 tokens, {case.name}": 1000 * outcome.cpu_s / outcome.tokens,
        f"start to first request, {case.name}, s": outcome.start_s,
        f"last byte to exit, {case.name}, s": outcome.tail_s,
    }


def main() -> None:
    """Run every client on every case, in turn, and print one table, or write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="*", default=["floor"], choices=sorted(PEERS), help="compare with these")
    parser.add_argument("--only", nargs="*", default=[case.name for case in CASES], help="cases to run")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="write client_accuracy.md anew; notes in it are kept")
    parser.add_argument("--environments", type=Path, default=Path(tempfile.gettempdir()) / "bench-peers")
    arguments = parser.parse_args()
    cases = [case for case in CASES if case.name in arguments.only]
    clients = [PEERS["blackstack"](Path(sys.executable))]
    clients += [PEERS[name](arguments.environments / name) for name in arguments.peers]
    table: Table = {}
    loads: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        binary = folder / "truth"
        subprocess.run(["gcc", "-O2", "-o", binary, HERE / "client_truth_server.c"], check=True)
        for client in clients:
            client.install()
        for repeat in range(arguments.repeats):
            for case in cases:
                for client in clients:
                    if not client.can(case):
                        continue
                    loads.append(os.getloadavg()[0])
                    where = f"repeat {repeat + 1}, {case.name}, {client.name}"
                    print(f"{where} (load average {loads[-1]:.1f})", file=sys.stderr)
                    for label, value in figures(case, run(client, case, binary, folder)).items():
                        table.setdefault(label, {}).setdefault(client.name, []).append(value)
    names = [client.name for client in clients]
    if arguments.record:
        write_down(table, names, loads, arguments.repeats)
    print("\n".join(rows(table, names)))


def rows(table: Table, names: Sequence[str]) -> list[str]:
    """Return the medians, a row a figure, a column a client, and what was to be reached."""
    lines = [f"| figure | {' | '.join(names)} | to reach | reached |", f"|---|{'---|' * (len(names) + 2)}"]
    for label, row in table.items():
        cells = [cell(row[name]) if name in row else "-" for name in names]
        lines.append(f"| {label} | {' | '.join(cells)} | {' | '.join(reached(label, row[names[0]]))} |")
    return lines


def cell(values: Sequence[float]) -> str:
    """Return a median, and of several values their range."""
    middle = statistics.median(values)
    if middle != middle:  # noqa: PLR0124 - NaN: this client does not tell
        return "-"
    span = f" ({min(values):,.4g} to {max(values):,.4g})" if len(values) > 1 else ""
    return f"{middle:,.4g}{span}"


def reached(label: str, values: Sequence[float]) -> tuple[str, str]:
    """Return a figure's target, and whether the median reached it, or by how much it did not."""
    if label not in TARGETS:
        return "", ""
    target, middle = TARGETS[label], statistics.median(values)
    more = label in MORE_IS_BETTER
    good = middle >= target if more else middle <= target
    return f"{'≥' if more else '≤'} {target:,g}", "yes" if good else f"no, by {abs(middle - target):,.3g}"


def write_down(table: Table, names: Sequence[str], loads: Sequence[float], repeats: int) -> None:
    """Write the record anew, up to the line below which notes are kept."""
    path = HERE / "client_accuracy.md"
    notes = path.read_text(encoding="utf-8").partition(NOTES)[2] if path.exists() else ""
    command = f"python benchmarks/client_accuracy.py --record --repeats {repeats} --peers {' '.join(names[1:])}"
    told = [
        "# How true the client's numbers are",
        "",
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d},",
        f"{os.cpu_count()} cores, Python {platform.python_version()}, loopback; the server real-time on core 0, each",
        "client with all its processes on core 1. Medians, and their range; load average",
        f"{min(loads):.1f} to {max(loads):.1f}. «Floor» is `client_floor.py`: it stamps packets and parses nothing.",
        "Truth: TTFT 200 ms, inter-token latency 10 ms.",
        "",
        *rows(table, names),
        "",
        NOTES,
    ]
    path.write_text("\n".join(told) + notes, encoding="utf-8")


if __name__ == "__main__":
    main()
