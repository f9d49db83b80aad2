"""The ranking as a figure: intervals, and every seed as a point."""

from dataclasses import dataclass

import pandas as pd
from plotly import graph_objects as go

from ravine.reports._stored import StoredStudy
from ravine.reports._style import Look, figure, looks, tick

_ROW = 44  # pixels per optimizer


@dataclass(frozen=True)
class Ranking:
    """Final test scores of every optimizer, best first, and of every seed behind them.

    Args:
        study: The stored study.
    """

    study: StoredStudy

    def frame(self) -> pd.DataFrame:
        """Return one row per optimizer and seed.

        Columns: ``optimizer, lr, score, low, high`` (mean and interval, as stored), ``seed,
        seed_score, status`` (one member; NaN where it failed). Best optimizer first.
        """
        final = self.study.final_trials()[["optimizer", "seed", "test_score", "status"]]
        final = final.rename(columns={"test_score": "seed_score"})
        return self.means().merge(final, on="optimizer", how="left", sort=False)

    def means(self) -> pd.DataFrame:
        """Return one row per optimizer: ``optimizer, lr, score, low, high``, as stored."""
        columns = ["optimizer", "lr", "score", "low", "high"]
        table = pd.DataFrame(self.study.rows("ranking")).reindex(columns=columns)
        return table.astype({"optimizer": "str"} | dict.fromkeys(columns[1:], "float64"))

    def plot(self) -> go.Figure:
        """Return the figure: points are seeds, diamonds means, bars intervals."""
        means, points = self.means(), self.frame()
        names = list(means["optimizer"])
        chart = figure(90 + _ROW * max(len(names), 1), showlegend=False)
        style = looks(self.study.optimizers)
        for row, name in enumerate(names):
            own = points[points["optimizer"] == name]
            chart.add_traces(self._seeds(own, row, style[name]))
            chart.add_trace(self._mean(means.iloc[row], row, style[name]))
        shown = points["seed_score"].dropna()
        score = self.study.score
        chart.update_xaxes(**score.axis(shown), title={"text": score.title("test")})
        # A second axis, fixed, puts the failed seeds at the edge whatever the scores are.
        chart.update_layout(xaxis2={"overlaying": "x", "range": [0, 1], "visible": False})
        ticks = {"tickvals": list(range(len(names))), "ticktext": [tick(name) for name in names]}
        chart.update_yaxes(**ticks, range=[len(names) - 0.5, -0.5], automargin=True)
        return chart

    def _seeds(self, own: pd.DataFrame, row: int, look: Look) -> list[go.Scatter]:
        scored, failed = own[own["seed_score"].notna()], own[own["seed_score"].isna()]
        failed = failed[failed["seed"].notna()]
        number = f"%{{x:{self.study.score.hover}}}"
        points = go.Scatter(
            x=scored["seed_score"].tolist(),
            y=[row + shift for shift in _spread(len(scored))],
            customdata=scored["seed"].tolist(),
            hovertemplate=f"seed %{{customdata}}: {number}<extra></extra>",
            mode="markers",
            marker={"color": look.colour, "size": 7, "opacity": 0.65},
            name="seeds",
        )
        crosses = go.Scatter(
            x=[0.02] * len(failed),
            y=[row + shift for shift in _spread(len(failed))],
            customdata=failed[["seed", "status"]].to_numpy().tolist(),
            hovertemplate="seed %{customdata[0]}: %{customdata[1]}<extra></extra>",
            mode="markers",
            marker={"color": look.colour, "size": 8, "symbol": "x-thin"}
            | {"line": {"width": 2, "color": look.colour}},
            xaxis="x2",
            name="failed seeds",
        )
        return [points, crosses] if len(failed) else [points]

    def _mean(self, stored: pd.Series, row: int, look: Look) -> go.Scatter:
        score, low, high = (float(stored[key]) for key in ("score", "low", "high"))
        text = self.study.score.text
        says = f"mean {text(score)}, interval {text(low)} to {text(high)}"
        return go.Scatter(
            x=[score],
            y=[row],
            error_x={"type": "data", "symmetric": False, "array": [high - score]}
            | {"arrayminus": [score - low], "thickness": 3, "width": 9},
            hovertemplate=says + "<extra></extra>",
            mode="markers",
            marker={"color": look.colour, "size": 13, "symbol": "diamond"}
            | {"line": {"width": 1.5, "color": "white"}},
            name="mean",
        )


def _spread(count: int) -> list[float]:
    """Return vertical offsets that keep points of equal score apart."""
    # Steps of the golden section fill the band evenly however many points there are.
    return [0.5 * ((0.618034 * i) % 1) - 0.25 for i in range(1, count + 1)]
