"""How fast is the diagnosis? ``python benchmarks/diagnose_speed.py [--mib 1024]`` says.

Writes logs of that size to a temporary folder, each hard in its own way, and diagnoses them: MB/s, and the
peak of the memory. The target is 1 GiB in a minute on one core, which is 18 MB/s.

With ``--compare`` it also times other ways to find the same texts in one block, which is why the scanner uses
Aho-Corasick.
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ahocorasick_rs import BytesAhoCorasick

from blackstack.diagnose import diagnose
from blackstack.diagnose.anchors import anchors
from blackstack.diagnose.signatures import load, regexes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1 << 20
SEED = 5090

NORMAL = (
    "INFO 10-17 04:00:{:02} [loggers.py:127] Engine 000: Avg throughput: {}.7 tokens/s, Running: {} reqs\n"
    'INFO:     127.0.0.1:{} - "POST /v1/chat/completions HTTP/1.1" 200 OK {} {}\n'
    "DEBUG {} request {} took {} ms\n"
)
TRACEBACK = (
    "ERROR {} [core.py:844] Traceback (most recent call last):\n"
    'ERROR [core.py:844]   File "/opt/venv/lib/vllm/v1/engine/core.py", line {}, in run\n'
    "ERROR [core.py:844] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {} GiB\n"
    "ERROR [core.py:844] RuntimeError: Engine core initialization failed. See root cause above. {} {} {}\n"
)


def lines(template: str) -> Iterator[bytes]:
    """Yield blocks of *template* with ever other numbers."""
    rng = random.Random(SEED)  # noqa: S311 - the same log each time
    while True:
        yield "".join(template.format(*(rng.randrange(99) for _ in range(9))) for _ in range(2000)).encode()


def garbage() -> Iterator[bytes]:
    """Yield random bytes: no text, few line breaks."""
    rng = random.Random(SEED)  # noqa: S311
    block = rng.randbytes(MIB)
    while True:
        yield block


def bars() -> Iterator[bytes]:
    """Yield a coloured progress bar that never ends its line."""
    while True:
        yield b"".join(b"\x1b[32m\rLoading %d%%|####    | %d/99\x1b[0m" % (n % 100, n) for n in range(20_000))


LOGS: dict[str, Callable[[], Iterator[bytes]]] = {
    "a healthy server": lambda: lines(NORMAL),
    "nothing but errors": lambda: lines(TRACEBACK),
    "binary garbage": garbage,
    "one endless progress bar": bars,
}


def write(path: Path, source: Iterator[bytes], size: int) -> None:
    """Fill *path* with at least *size* bytes."""
    written = 0
    with path.open("wb") as file:
        while written < size:
            written += file.write(next(source))


def measure(mib: int) -> None:
    """Print a row a log."""
    diagnose([])  # reads the catalogue
    print(f"{'log':26} {'MiB':>6} {'seconds':>8} {'MB/s':>7}  found")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in LOGS.items():
            path = Path(folder, "log")
            write(path, make(), mib * MIB)
            begin = time.perf_counter()
            found = diagnose(path)
            seconds = time.perf_counter() - begin
            size = path.stat().st_size
            codes = ", ".join(finding.code for finding in found) or "nothing"
            print(f"{name:26} {size / MIB:6.0f} {seconds:8.2f} {size / seconds / 1e6:7.0f}  {codes}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the process: {peak:.0f} MiB")


def compare() -> None:
    """Print how fast other ways find the same texts."""
    patterns = [regex for s in load().signatures for item in s.any for regex in regexes(item)]
    texts = sorted({text.encode() for regex in patterns for text in anchors(regex)})
    block = b"".join(piece for piece, _ in zip(lines(NORMAL), range(40), strict=False)).lower()[: 4 * MIB]
    automaton, pattern = BytesAhoCorasick(texts), re.compile(b"|".join(map(re.escape, texts)))
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "Aho-Corasick": (len(block), lambda: automaton.find_matches_as_indexes(block, overlapping=True)),
        "bytes.find, one by one": (len(block), lambda: [block.find(text) for text in texts]),
        "one regular expression": (MIB // 4, lambda: pattern.findall(block[: MIB // 4])),
    }
    print(f"\n{len(texts)} texts in one block:")
    for name, (size, search) in ways.items():
        begin = time.perf_counter()
        search()
        print(f"  {name:24} {size / (time.perf_counter() - begin) / 1e6:7.1f} MB/s")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mib", type=int, default=128, help="size of each log")
    parser.add_argument("--compare", action="store_true", help="time other ways to search, too")
    options = parser.parse_args()
    measure(options.mib)
    if options.compare:
        compare()


if __name__ == "__main__":
    main()
