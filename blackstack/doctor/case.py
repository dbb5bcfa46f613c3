"""What a check looks at: a machine, and a plan where a stack was named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from blackstack.facts import Facts
from blackstack.facts.gpu import Gpu
from blackstack.finding import Finding
from blackstack.host import Host
from blackstack.plan import Plan

KNOB = "GPU"  # the knob that says which card a container gets


@dataclass(frozen=True, kw_only=True)
class Case:
    """A machine, with or without a plan for it."""

    host: Host
    facts: Facts
    plan: Plan | None = None

    @property
    def wants_gpu(self) -> bool:
        """Whether the planned stack needs a GPU; without a plan it does not."""
        needs = self.plan.stack.x.needs if self.plan else None
        return bool(needs and (needs.vram_gib or needs.compute_capability))

    @property
    def gpu_matters(self) -> bool:
        """Whether the GPUs are worth a look: not for a stack that leaves them alone."""
        return self.plan is None or self.wants_gpu

    @property
    def card(self) -> Gpu | None:
        """The card that the stack would take; None where that one is not there.

        In Docker the one that its knob GPU names; without such a knob, of those that can run it the one with the most
        free memory. Without Docker the first that CUDA shows.
        """
        if self.plan and not self.in_docker:
            return next(iter(self.facts.gpus.cuda_cards), None)
        named = self.plan.settings[KNOB].value if self.plan and KNOB in self.plan.settings else ""
        if named.isdecimal() or named.startswith("GPU-"):  # as compose's `device_ids` has them
            cards = self.facts.gpus.cards
            return next(
                (gpu for gpu in cards if named == str(gpu.index) or (gpu.uuid and gpu.uuid.startswith(named))), None
            )
        needed = self.plan.stack.x.needs.compute_capability if self.plan else None
        least = Gpu(index=0, name="", compute_capability=needed or "").capability
        return max(self.facts.gpus.cards, key=lambda gpu: (gpu.capability >= least, gpu.free_mib), default=None)

    @property
    def has_card(self) -> bool:
        """Whether there is a card to look at, and somebody for whom it matters."""
        return self.gpu_matters and bool(self.facts.gpus.cards)

    @property
    def gpu_in_docker(self) -> bool:
        """Whether a container of this machine's engine would want a card that is there."""
        if (self.plan and not self.in_docker) or not self.has_card:
            return False
        return self.facts.engine is not None and self.facts.engine.here

    @property
    def fetches(self) -> bool:
        """Whether something is still to be downloaded or built."""
        return bool(self.plan and self.plan.steps_of("build", "pull", "environment"))

    @property
    def in_docker(self) -> bool:
        """Whether the plan is for Docker."""
        return bool(self.plan and self.plan.runtime == "docker")


@dataclass(frozen=True, kw_only=True)
class Check:
    """A row of the registry.

    Attributes:
        title: what it looks after, in a word or three; the line of what is fine is made of these.
        codes: the findings that it may return, entries of `findings.toml`.
        run: looks, and returns what is wrong or nothing.
        of: ``plan``: only with a stack; ``machine``: also without.
        when: whether it concerns a case at all; what does not is neither fine nor wrong.
        before_up: whether `inv up` runs it too: quick, and about this start.
    """

    title: str
    codes: tuple[str, ...]
    run: Callable[[Case], Finding | None]
    of: Literal["plan", "machine"]
    when: Callable[[Case], bool] = lambda _case: True
    before_up: bool = False

    def concerns(self, case: Case) -> bool:
        """Tell whether the check has something to look at in this case."""
        return (case.plan is not None or self.of == "machine") and self.when(case)
