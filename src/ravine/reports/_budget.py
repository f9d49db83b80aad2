"""Score against tuning budget: what so many trials are expected to find."""

from dataclasses import dataclass

import pandas as pd
from plotly import graph_objects as go

from ravine.reports._stored import StoredStudy
from ravine.reports._style import figure, head, label, looks, thinned
from ravine.studies.statistics import expected_best


@dataclass(frozen=True)
class Budget:
    """Expected best tuning score of k trials drawn at random, for every k.

    A trial's score is its mean over the seeds; a trial with a failed seed is a failed one, which
    counts as the worst of its optimizer (`ravine.studies.statistics.expected_best`).

    Args:
        study: The stored study.
    """

    study: StoredStudy

    def frame(self) -> pd.DataFrame:
        """Return one row per optimizer and budget: ``optimizer, trials, expected``."""
        scores = self._trial_scores()
        columns = ["optimizer", "trials", "expected"]
        parts = []
        for name in self.study.optimizers:
            own = scores[scores["optimizer"] == name]["score"].to_numpy()
            if len(own):
                best = expected_best(own, self.study.score.direction)
                rows = {"optimizer": name, "trials": range(1, len(own) + 1), "expected": best}
                parts.append(pd.DataFrame(rows))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)

    def _trial_scores(self) -> pd.DataFrame:
        tuned = self.study.trials[self.study.trials["phase"] == "tune"]
        scores = tuned[self.study.tuning_score].where(tuned["status"] == "ok")
        keys = [tuned["optimizer"], tuned["lr"]]
        means = scores.groupby(keys).agg(lambda seeds: seeds.mean(skipna=False))
        return means.rename("score").reset_index()

    def plot(self) -> go.Figure:
        """Return the figure, one line per optimizer."""
        table = self.frame()
        score = self.study.score
        chart = figure(430)
        for name, look in looks(self.study.optimizers).items():
            own = table[table["optimizer"] == name]
            chart.add_scatter(
                x=own["trials"].tolist(),
                y=own["expected"].tolist(),
                name=label(name),
                mode="lines+markers",
                line={"color": look.colour, "dash": look.dash, "width": 2},
                marker={"symbol": look.marker, "size": 8},
                hovertemplate=f"{label(name)}, %{{x}} trials: %{{y:{score.hover}}}<extra></extra>",
            )
        part = "validation" if self.study.tuning_score == "val_score" else "test"
        chart.update_yaxes(**score.axis(table["expected"]))
        head(chart, score.title(f"expected best {part}"))
        chart.update_xaxes(title={"text": "trials spent on tuning"}, rangemode="tozero")
        return thinned(chart, [row["optimizer"] for row in self.study.rows("ranking")])
