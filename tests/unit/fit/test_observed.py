"""The planner against what real engines printed; `python -m tests.unit.fit.test_observed` prints the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from blackstack import fit
from blackstack.fit import model

ROWS: list[dict[str, Any]] = YAML(typ="safe").load(Path(__file__).with_name("observed.yaml"))
ALLOWED = {"weights": 0.04, "gib": 0.05, "tokens": 0.005, "concurrency": 0.005}


@dataclass(frozen=True)
class Score:
    """One figure: what was printed, what comes out here."""

    row: str
    figure: str
    printed: float
    ours: float

    @property
    def error(self) -> float:
        """How far off, as a share."""
        return self.ours / self.printed - 1

    @property
    def met(self) -> bool:
        """Whether that is near enough; engines print GiB to two digits, so half of the last one is nobody's error."""
        unseen = 0.005 if self.figure in {"weights", "gib"} else 0.0
        return abs(self.ours - self.printed) <= ALLOWED[self.figure] * self.printed + unseen


def model_of(row: dict[str, Any]) -> fit.Model:
    if "model" in row:
        return fit.find_model(row["model"], online=False)
    config = dict(row["config"])
    kinds = config.get("layer_types")
    if kinds:
        config["layer_types"] = kinds * (config["num_hidden_layers"] // len(kinds))
    return model.read(config, row["id"])


def scores() -> list[Score]:
    found = []
    for row in ROWS:
        ask = fit.Ask(
            model=model_of(row),
            card=fit.card(row["gpu"]),
            engine=fit.engine(row.get("as", row["engine"])),
            context=row.get("context"),
            utilisation=row.get("utilisation"),
            tensor_parallel=row.get("tp", 1),
            kv_dtype=row.get("kv_dtype", "auto"),
        )
        from_card = fit.estimate(ask)
        if "weights" in row:
            found.append(Score(row["id"], "weights", row["weights"], from_card.as_dict()["weights_gib"]))
        if "gib" in row and not row.get("pool_only"):
            found.append(Score(row["id"], "gib", row["gib"], from_card.as_dict()["pool_gib"]))
        if "tokens" in row and "gib" in row:
            stated = fit.estimate(fit.Ask(**{**vars(ask), "pool_gib": row["gib"]}))
            found.append(Score(row["id"], "tokens", row["tokens"], stated.printed))
            if "concurrency" in row:
                found.append(Score(row["id"], "concurrency", row["concurrency"], stated.long_requests))
    return found


@pytest.mark.parametrize("score", scores(), ids=lambda score: f"{score.row}-{score.figure}")
def test_an_estimate_is_as_near_to_the_engine_s_own_line_as_was_asked_for(score: Score) -> None:
    assert score.met, f"{score.figure}: printed {score.printed}, ours {score.ours:.3f}, {score.error:+.1%}"


def test_every_row_says_where_it_can_be_read() -> None:
    assert all(row["source"] and row["engine"] and row["gpu"] for row in ROWS)


def main() -> None:
    """Print the table."""
    for score in scores():
        mark = "" if score.met else "  MISSED"
        print(  # noqa: T201 - a table to read
            f"{score.row:30} {score.figure:12} {score.printed:>12,.3f} {score.ours:>12,.3f} {score.error:+8.2%}{mark}"
        )


if __name__ == "__main__":
    main()
