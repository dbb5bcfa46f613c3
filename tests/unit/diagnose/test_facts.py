"""Facts of a death are read the same whoever reports them."""

from __future__ import annotations

import pytest

from blackstack.diagnose import ExitFacts
from blackstack.errors import UsageError


@pytest.mark.parametrize(
    ("facts", "signal"),
    [
        (ExitFacts(exit_code=139), "SIGSEGV"),
        (ExitFacts(exit_code=-9), "SIGKILL"),
        (ExitFacts(signal="term"), "SIGTERM"),
        (ExitFacts(signal="SIGABRT", exit_code=1), "SIGABRT"),
        (ExitFacts(exit_code=1), None),
        (ExitFacts(), None),
    ],
)
def test_a_signal_is_named_however_it_is_told(facts: ExitFacts, signal: str | None) -> None:
    assert signal == facts.death_signal


def test_an_unknown_fact_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown facts: exitcode"):
        ExitFacts.from_mapping({"exitcode": 1})


def test_facts_read_as_a_sentence() -> None:
    facts = ExitFacts(exit_code=137, oom_killed=True)

    assert str(facts) == "exit code 137, SIGKILL, OOMKilled"
