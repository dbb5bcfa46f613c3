"""What the entries of this room's data files are made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from blackstack.diagnose.anchors import anchors, compiled

Language = Literal["en", "ko"]


def _searchable(regex: str) -> str:
    anchors(regex)
    return regex


def _regex(regex: str) -> str:
    compiled(regex)
    return regex


Searched = Annotated[str, AfterValidator(_searchable)]
"""A regular expression that is looked for in the whole log, so it needs an anchor."""

Checked = Annotated[str, AfterValidator(_regex)]
"""A regular expression that is only tried on a line that was found already."""


class Entry(BaseModel):
    """A mapping of the file: unknown keys are refused, and nothing is changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Words(Entry):
    """A sentence in the languages of the guide."""

    en: str = Field(min_length=1)
    ko: str = Field(min_length=1)

    def say(self, language: Language) -> str:
        """Return the sentence in *language*."""
        return self.ko if language == "ko" else self.en
