"""What backends, ladder, verdict and tune have in common: the machine, the folder, the loop, the record."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from blackstack import __version__, catalog, console, doctor, host, inside, plan, results, shell
from blackstack.bench import Workload
from blackstack.catalog import Stack
from blackstack.catalog.profiles import FOLDER, keep_profile, path_of
from blackstack.catalog.schema import Profile
from blackstack.errors import BlackstackError, BlockedError
from blackstack.interrupt import Interruption, interruptible
from blackstack.plan import Plan, Wishes
from blackstack.progress import Progress
from blackstack.runtime import state
from blackstack.serving import runtime_of
from blackstack.trial import sure, table
from blackstack.trial.attempt import Probe, attempt, short_probe
from blackstack.trial.cell import Cell, Trial
from blackstack.trial.folder import Folder
from blackstack.trial.ground import Ground
from blackstack.trial.loop import Run
from blackstack.verbs.choose import ROOT, find, placeless, short

_REASONS = 5  # that are said where nothing works; the record has all of them


@dataclass(frozen=True, kw_only=True)
class Order:
    """What all four verbs are asked.

    Attributes:
        wishes: how the stack is brought up, besides what is tried.
        load: what it is measured with.
        timeout: seconds until a server must have answered; None: the stack's own.
        fresh: forget what an earlier run of the same plan kept.
        as_json: print the record, and nothing else, on standard output.
        out: the file to write; None: a new one in ``results/``.
    """

    wishes: Wishes
    load: Workload
    timeout: float | None = None
    fresh: bool = False
    as_json: bool = False
    out: str | None = None


@dataclass
class Trying:
    """What the four verbs have in common: the machine, the folder, the loop, the record."""

    verb: str
    order: Order
    progress: Progress
    interruption: Interruption
    ground: Ground = field(default_factory=Ground.look)
    probe: Probe = field(init=False)
    run: Run = field(init=False)
    machine: host.Host = field(init=False)
    number: str = ""
    busy: tuple[float, float, float] = field(default_factory=os.getloadavg)

    def __post_init__(self) -> None:
        self.probe = short_probe(self.order.load)

    def begin(self, stacks: Mapping[str, Wishes], what: Mapping[str, Any]) -> dict[str, str]:
        """Get ready what the stacks need, and open the folder; return the stacks that cannot be got ready, and why."""
        machine, unready = host.look(ROOT), {}
        texts = {}
        for one, wishes in ((catalog.load(ROOT, name), wishes) for name, wishes in stacks.items()):
            if (up := find(one)) is not None and up.alive:
                raise BlockedError(
                    f"{one.name} is up, and would be measured instead of what is tried",
                    fix=f"inv down --stack {one.name}",
                )
            made = plan.make(one, machine, wishes)
            try:
                doctor.refuse_if_blocked(made, machine)  # before gigabytes are fetched for a card that is not here
                runtime_of(made).prepare(made, self.progress)
            except BlackstackError as error:
                if len(stacks) == 1:
                    raise
                unready[one.name] = error.what
            texts[one.name] = {
                "asked_for": made.asked_for(),
                "runs": inside.identity(made),
                "file": one.path.read_text(encoding="utf-8"),
            }
        self.machine = host.look(ROOT)
        load = self.order.load.as_dict()
        kept = {"verb": self.verb, "stacks": texts, "load": load, "timeout": self.order.timeout, **what}
        folder = Folder.of(ROOT, "-".join([self.verb, *texts]), kept, fresh=self.order.fresh)
        self.run = Run(folder=folder, attempt=self._attempt, clean=self._clean, teller=self)
        self._say_what_is_left()
        return unready

    def plan_of(self, cell: Cell) -> Plan:
        """Return the plan of a cell."""
        return plan.make(catalog.load(ROOT, cell.stack), self.machine, cell.wishes)

    def note(self, text: str) -> None:
        """Say a sentence."""
        self.progress.finish()
        self.progress.note(text)

    def begins(self, cell: Cell, number: int, of: int) -> None:
        """Say which cell is tried."""
        self.number = f"{number}{f'/{of}' if of else ''} {cell.label}"

    def ended(self, trial: Trial, *, kept: bool) -> None:
        """Say what came of it."""
        rate = sure.rate(trial.seen.rates)
        said = f"{rate.value:.1f} tokens/s" if rate and trial.works else trial.why
        words = [trial.outcome, said, "kept from before" if kept else ""]
        self.note(f"{trial.label}: {', '.join(filter(None, words))}")
        self._say_what_is_left()

    def write(
        self,
        name: str,
        asked: Mapping[str, Any],
        trials: Sequence[Trial],
        more: Mapping[str, Any],
        closing: Sequence[str],
    ) -> None:
        """Print the table and the closing sentences, and write the record, with its table as Markdown beside it."""
        inside_of = {trial.stack: trial.found_inside for trial in reversed(trials) if trial.found_inside}
        result = results.Result(
            asked_for=placeless({"verb": self.verb, **asked, "workload": self.order.load.as_dict()}),
            found_inside=placeless(inside_of),
            ran_on=inside.ran_on(self.machine),
            measured={
                "tool": {"name": f"inv {self.verb}", "version": __version__},
                # Who else was at work on this machine: an interval says how much numbers differ, not why.
                "load_average": {"at_begin": self.busy, "at_end": os.getloadavg()},
                "seconds": round(sum(trial.seconds for trial in trials), 1),
                **more,
                "trials": placeless([trial.as_dict() for trial in trials]),
                "said": list(closing),
            },
        )
        folder = ROOT / "results" / self.verb
        default = results.default_path(folder, name, result.measured_at)
        path = Path(self.order.out).with_suffix(".json") if self.order.out else default  # its page lies beside it
        try:
            results.save(result, path)
            path.with_suffix(".md").write_text(self._page(name, result, trials, closing), encoding="utf-8")
        except OSError as error:
            raise BlockedError(f"cannot write {path}", why=error.strerror or str(error), fix="--out FILE") from error
        if self.order.as_json:
            console.raw(json.dumps(result.as_dict(), ensure_ascii=False))
            return
        console.table(table.HEADS, table.rows(trials))
        for line in closing:
            console.say(line)
        console.say(f"written: {short(path)} and {path.with_suffix('.md').name}")

    def refuse_if_nothing_works(self, stack: str, trials: Sequence[Trial], not_tried: Mapping[str, str]) -> None:
        """End a run of which nothing came as a failure, after its record was written.

        Args:
            stack: one that was tried, or was to be.
            trials: all of them.
            not_tried: why others were not.

        Raises:
            BlackstackError: not one of the trials works.
        """
        if any(trial.works or trial.outcome == "stopped early" for trial in trials):
            return
        why = [f"{trial.label}: {trial.outcome}, {trial.why}" for trial in trials]
        why += [f"{name}: {reason}" for name, reason in not_tried.items()]
        rest = [f"… and {len(why) - _REASONS} more"] if len(why) > _REASONS else []
        again = self.order.wishes.typed("up", stack)
        raise BlackstackError(
            f"inv {self.verb}: nothing that was tried works",
            why=[*why[:_REASONS], *rest],
            fix=[f"{again}   # one start, with its whole diagnosis", "then the same command with --fresh"],
        )

    def _page(self, name: str, result: results.Result, trials: Sequence[Trial], closing: Sequence[str]) -> str:
        load, ran_on = self.order.load, result.ran_on
        where = f"{ran_on['cpu']}, {ran_on['cores']} cores, {ran_on['system']}"
        each = f"{load.requests} requests of {load.output_tokens} tokens at concurrency {load.concurrency[0]}"
        head = f"# inv {self.verb}: {name}\n\n{result.measured_at}, {where}; {each}.\n\n"
        said = "\n".join(f"- {line}" for line in closing)
        return f"{head}{table.markdown(table.HEADS, table.rows(trials))}\n{said}\n"

    def _attempt(self, cell: Cell) -> Trial:
        reader = _Named(self.progress, self.number)
        timeout = self.order.timeout
        return attempt(cell, self.plan_of(cell), self.machine, self.probe, reader, timeout=timeout)

    def _clean(self, cell: Cell) -> None:
        self.ground.demand_clean(self.plan_of(cell))

    def _say_what_is_left(self) -> None:
        kept = len(self.run.trials)
        are = "trials are" if kept != 1 else "trial is"
        self.interruption.leaves = f"nothing is left running; {kept} {are} kept, and the same command goes on there"


@contextmanager
def trying(verb: str, order: Order) -> Iterator[Trying]:
    """Hold what is needed for a run: one at a time, because two would measure each other."""
    lock = state.locked(ROOT / ".blackstack/trials/lock", doing=f"run inv {verb}")
    with interruptible() as interruption, lock, console.progress() as progress:
        yield Trying(verb=verb, order=order, progress=progress, interruption=interruption)


@dataclass(frozen=True)
class _Named:
    """Progress whose stages carry the trial's name; of twenty starts nobody wants to read the command."""

    reader: Progress
    name: str

    def stage(self, name: str) -> None:
        self.reader.stage(f"{self.name}: {name}")

    def line(self, text: str) -> None:
        self.reader.line(text)

    def command(self, text: str) -> None:
        self.reader.line(text)

    def note(self, text: str) -> None:
        self.reader.line(text)

    def finish(self, *, failed: bool = False) -> None:
        self.reader.finish(failed=failed)


def keep(one: Stack, name: str, profile: Profile, wishes: Wishes) -> list[str]:
    """Write a profile, and return how it is used and what it means."""
    keep_profile(path_of(ROOT, one.name), name, profile)
    long = replace(
        Wishes(runtime=wishes.runtime, python=wishes.python),
        overrides=tuple(f"{key}={value}" for key, value in profile.set.items()),
        extra=(profile.extra,) if profile.extra else (),
    )
    words = ["inv", "up", "--stack", one.name, "--profile", name]
    return [
        f"next: {shell.typed(words)}   # kept in {FOLDER}/{one.name}.yaml",
        f"which is: {long.typed('up', one.name)}",
    ]
