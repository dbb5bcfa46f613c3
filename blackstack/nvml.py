"""NVML, the driver's own library, through NVIDIA's binding ``nvidia-ml-py``: asked one question at a time.

Every question may be refused alone: «Not Supported» is an ordinary answer of GeForce cards, «Insufficient Permissions»
one in containers, and an old driver lacks functions. Such an answer is None, and the others still count. The binding is
imported when somebody begins. Questions and numbers: https://docs.nvidia.com/deploy/nvml-api/
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar, get_args

LIBRARY_NOT_FOUND = 12  # NVML_ERROR_LIBRARY_NOT_FOUND
Kind = Literal["Compute", "Graphics"]  # of a process, in NVML's words
_Answer = TypeVar("_Answer")


class NvmlError(Exception):
    """NVML does not answer at all; ``number`` is its ``nvmlReturn_t``."""

    def __init__(self, sentence: str, *, number: int) -> None:
        super().__init__(sentence)
        self.number = number


@dataclass(frozen=True, kw_only=True)
class Memory:
    """A card's memory, in MiB; what the driver keeps for itself counts as used."""

    total_mib: int
    free_mib: int
    used_mib: int


class Nvml:
    """NVML, begun; `end` it, or use it as a context.

    Args:
        library: the module ``pynvml``, or something with its functions, as tests have it.

    Raises:
        NvmlError: there is no driver, or it does not answer.
    """

    def __init__(self, library: Any = None) -> None:  # noqa: ANN401 - the binding has no types
        self._library = library or _binding()
        # The binding's word for a driver that is older than itself; it is no NVMLError.
        older = getattr(self._library, "NVMLLibraryMismatchError", self._library.NVMLError)
        # Of an old binding a function is missing; a name may be no text.
        self._refusals = (self._library.NVMLError, older, AttributeError, ValueError)
        self._demand(self._library.nvmlInit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Let go of the library."""
        with contextlib.suppress(NvmlError):
            self._demand(self._library.nvmlShutdown)

    def count(self) -> int:
        """Return how many cards there are.

        Raises:
            NvmlError: nobody can tell.
        """
        return int(self._demand(self._library.nvmlDeviceGetCount))

    def card(self, index: int) -> Card:
        """Return a card, by its number in the order of the PCI bus.

        Raises:
            NvmlError: it is lost, or not ours to ask.
        """
        handle = self._demand(lambda: self._library.nvmlDeviceGetHandleByIndex(index))
        return Card(nvml=self, index=index, handle=handle)

    def ask(self, question: str, *about: object) -> Any:  # noqa: ANN401 - each question has its own answer
        """Return the answer to a question by the name of its function, texts as text; None where it is refused."""
        try:
            told = getattr(self._library, question)(*about)
        except self._refusals:
            return None
        return told.decode(errors="replace") if isinstance(told, bytes) else told

    def _demand(self, question: Callable[[], _Answer]) -> _Answer:
        try:
            return question()
        except self._library.NVMLError as error:
            raise NvmlError(str(error), number=getattr(error, "value", 0)) from error


@dataclass(frozen=True, kw_only=True)
class Card:
    """One card."""

    nvml: Nvml
    index: int
    handle: Any

    def ask(self, question: str, *about: object) -> Any:  # noqa: ANN401 - each question has its own answer
        """Return the answer to a question about the card, such as ``nvmlDeviceGetName``; None where it is refused."""
        return self.nvml.ask(question, self.handle, *about)

    def memory(self) -> Memory | None:
        """Return the card's memory; None where it is not told, as by chips that share the machine's."""
        told = self.ask("nvmlDeviceGetMemoryInfo")
        if told is None:
            return None
        return Memory(total_mib=told.total >> 20, free_mib=told.free >> 20, used_mib=told.used >> 20)

    def processes(self, *kinds: Kind) -> dict[int, int | None] | None:
        """Return who holds the card's memory, MiB by process id; None where nobody tells.

        Args:
            kinds: of processes; none for all. What one of them holds is None where that is not told (WSL2).
        """
        lists = [self._running(kind) for kind in kinds or get_args(Kind)]
        if all(one is None for one in lists):
            return None
        told = ((one.pid, one.usedGpuMemory) for running in lists for one in running or ())  # one may be in two lists
        held: dict[int, int | None] = {}
        for pid, used in told:
            held[pid] = held.get(pid) if used is None else used >> 20
        return held

    def _running(self, kind: Kind) -> Any:  # noqa: ANN401 - a list of the binding's
        question = f"nvmlDeviceGet{kind}RunningProcesses"
        newest = self.ask(question)
        return self.ask(f"{question}_v2") if newest is None else newest  # the name of older drivers


def _binding() -> Any:  # noqa: ANN401
    try:
        import pynvml  # noqa: PLC0415 - thirty milliseconds that only those pay who ask for a GPU
    except ImportError as error:
        missing = "the Python package nvidia-ml-py is not installed"
        raise NvmlError(missing, number=LIBRARY_NOT_FOUND) from error
    return pynvml
