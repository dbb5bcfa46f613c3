"""A table of trials is Markdown that shows what an engine said, not what it means to Markdown."""

from __future__ import annotations

from blackstack.trial import table


def test_what_an_engine_said_is_shown_as_it_said_it() -> None:
    said = "a|b <img src=x> [link](http://x) `code` *bold*\nC:\\new"

    text = table.markdown(("ONE", "WHY"), [("1", said)])

    (head, rule, row) = text.splitlines()
    assert (head, rule) == ("| ONE | WHY |", "| --- | --- |")
    assert row == r"| 1 | a\|b \<img src=x\> \[link\](http://x) \`code\` \*bold\* C:\\new |"
