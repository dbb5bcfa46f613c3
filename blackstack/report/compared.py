"""A comparison as Markdown, and as the lines of a terminal."""

from __future__ import annotations

from typing import Final

from blackstack.comparison import Comparison
from blackstack.report import tables

SHOWN: Final = 12  # differences on a terminal; --json and --markdown have them all


def markdown(comparison: Comparison) -> str:
    """Return the comparison for a pull request."""
    parts = [f"**{headline(comparison)}**", ""]
    if comparison.effects:
        parts += [tables.effects(comparison).markdown(), ""]
    parts += [f"Intervals: {comparison.method}.", ""]
    parts += [f"- {note}" for note in comparison.notes] + [""] * bool(comparison.notes)
    if comparison.differences:
        table = tables.layer_differences(comparison).markdown()
        parts += [
            f"<details><summary>{table.count(chr(10)) - 1} other differences</summary>",
            "",
            table,
            "",
            "</details>",
        ]
    return "\n".join(parts)


def headline(comparison: Comparison) -> str:
    """Return the verdict in a sentence."""
    a, b = comparison.a.name, comparison.b.name
    if not comparison.effects:
        return f"{a} and {b}: nothing can be concluded from a reported figure"
    hint = " (a hint: one run a side)" if comparison.effects[0].basis == "requests" else ""
    if comparison.verdict in {"faster", "slower"}:
        return f"{b} is {comparison.verdict} than {a} in output tokens/s{hint}"
    if comparison.verdict == "not known":
        why = "it depends on the load" if _both(comparison) else "not known, too little was measured"
        return f"{b} against {a}: {why}"
    return f"{b} against {a}: no difference shown{hint}"


def footnotes(comparison: Comparison) -> list[str]:
    """Return the lines that go under the table on a terminal."""
    lines = [f"intervals: {comparison.method}", *comparison.notes]
    told = [str(one) for one in comparison.differences]
    if told:
        lines += ["", f"what else differs ({len(told)}):", *(f"  {line}" for line in told[:SHOWN])]
        lines += [f"  … and {len(told) - SHOWN} more: --json has them all"] * (len(told) > SHOWN)
    else:
        lines.append("nothing else differs in what was asked for, found inside and run on")
    return lines


def _both(comparison: Comparison) -> bool:
    return {"faster", "slower"} <= {one.verdict for one in comparison.effects if one.more_is_better}
