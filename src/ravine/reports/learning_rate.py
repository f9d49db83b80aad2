"""The learning-rate test drawn: loss against the rate, and what is suggested."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from plotly import graph_objects as go

from ravine.reports._style import Look, figure, head, label, looks, thinned
from ravine.studies.learning_rate import RateTest


@dataclass(frozen=True)
class LearningRates:
    """Loss of every optimizer after a short training, against the learning rate.

    Args:
        test: The test's results.
    """

    test: RateTest

    def frame(self) -> pd.DataFrame:
        """Return one row per optimizer.

        Columns: ``optimizer, lr, low, high`` of the population; ``ramp_lr, ramp_low, ramp_high``
        of the classic ramp; ``note``.
        """
        rows = [
            {"optimizer": s.optimizer, "lr": s.population.lr}
            | {"low": s.population.low, "high": s.population.high}
            | {"ramp_lr": s.ramp.lr, "ramp_low": s.ramp.low, "ramp_high": s.ramp.high}
            | {"note": s.note}
            for s in self.test.suggestions
        ]
        return pd.DataFrame(rows)

    def plot(self) -> go.Figure:
        """Return the figure: mean loss, its range over seeds, and the suggested rates.

        A thick bar is an interval, its ring the suggestion; a dotted line is the mean ramp.
        """
        chart = figure(470)
        names = [s.optimizer for s in self.test.suggestions]
        for name, look in looks(names).items():
            own = self._means(name)
            chart.add_trace(self._line(own, name, look))
            chart.add_trace(self._ramp(name, look))
            for trace in self._suggestion(own, name, look):
                chart.add_trace(trace)
        chart.update_xaxes(type="log", exponentformat="power", title={"text": "learning rate"})
        chart.update_yaxes(type="log", range=self._range())
        head(chart, f"{self.test.loss} after {self.test.steps} steps")
        return thinned(chart, names)

    def _means(self, name: str) -> pd.DataFrame:
        own = self.test.trials[self.test.trials["optimizer"] == name]
        losses = own["loss"].where(own["status"] == "ok")
        table = own.assign(loss=losses).groupby("lr")["loss"]
        # A mean over the seeds that survived would look better than the rate is.
        return table.agg(["mean", "min", "max", "count", "size"]).query("count == size")

    def _range(self) -> list[float]:
        """Return the axis: losses far above the start say only that a rate is too high."""
        losses = self.test.trials["loss"].replace(np.inf, np.nan).dropna()
        start = self.test.ramps.groupby(["optimizer", "seed"])["smooth"].first().median()
        low, high = float(losses.min()), float(min(losses.max(), 2 * start))
        return [np.log10(low) - 0.1, np.log10(max(high, 1.1 * low)) + 0.05]

    def _line(self, own: pd.DataFrame, name: str, look: Look) -> go.Scatter:
        return go.Scatter(
            x=own.index.tolist(),
            y=own["mean"].tolist(),
            error_y={"type": "data", "symmetric": False, "width": 0, "color": look.faded(0.45)}
            | {"array": (own["max"] - own["mean"]).tolist()}
            | {"arrayminus": (own["mean"] - own["min"]).tolist()},
            name=label(name),
            legendgroup=label(name),
            mode="lines+markers",
            line={"color": look.colour, "dash": look.dash, "width": 2},
            marker={"symbol": look.marker, "size": 6},
            hovertemplate=f"{label(name)}, lr %{{x:.3~g}}: %{{y:.4~g}}<extra></extra>",
        )

    def _ramp(self, name: str, look: Look) -> go.Scatter:
        own = self.test.ramps[self.test.ramps["optimizer"] == name]
        mean = own.groupby("lr")["smooth"].mean()
        return go.Scatter(
            x=mean.index.tolist(),
            y=mean.tolist(),
            legendgroup=label(name),
            showlegend=False,
            mode="lines",
            line={"color": look.faded(0.5), "dash": "dot", "width": 1.5},
            hovertemplate=f"ramp of {label(name)}, lr %{{x:.3~g}}: %{{y:.4~g}}<extra></extra>",
        )

    def _suggestion(self, own: pd.DataFrame, name: str, look: Look) -> list[go.Scatter]:
        found = next(s for s in self.test.suggestions if s.optimizer == name).population
        if not np.isfinite(found.lr) or own.empty:
            return []
        height = float(own["mean"].min())
        common = {"legendgroup": label(name), "showlegend": False}
        bar = go.Scatter(
            x=[found.low, found.high],
            y=[height, height],
            mode="lines",
            line={"color": look.faded(0.35), "width": 9},
            hoverinfo="skip",
            **common,
        )
        ring = go.Scatter(
            x=[found.lr],
            y=[height],
            mode="markers",
            marker={"symbol": "circle-open", "size": 15, "color": look.colour}
            | {"line": {"width": 2.5}},
            hovertemplate=f"{label(name)}: %{{x:.3~g}} suggested, {found.low:.3g} to"
            f" {found.high:.3g}<extra></extra>",
            **common,
        )
        return [bar, ring]
