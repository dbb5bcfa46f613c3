"""The audit is mounted alone into images that are built, so some of it is a copy; the copies agree."""

from __future__ import annotations

import dataclasses
import typing

from blackstack import finding, fit
from blackstack.audit import arch, model
from blackstack.versions import numbers


def test_a_finding_of_the_audit_has_the_shape_of_all_others() -> None:
    ours, theirs = (
        [(field.name, field.default) for field in dataclasses.fields(kind)] for kind in (finding.Finding, model.Finding)
    )

    assert ours == theirs
    assert typing.get_args(finding.Severity) == typing.get_args(model.Severity)


def test_a_card_has_the_same_compute_capability_wherever_it_is_named() -> None:
    known = {name: numbers(card.cc) for card in fit.cards() for name in (card.name, *card.names)}
    both = set(known) & set(arch.GPUS)

    assert len(both) > 10
    assert {name: known[name] for name in both} == {name: arch.GPUS[name] for name in both}
