"""Learning-rate sensitivity: all optimizers on one axis."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from ravine.reports._stored import StoredStudy
from ravine.reports._style import Look, base_layout, head, label, looks, thinned, tick

_STRIP_ROW = 16  # pixels per optimizer in the strip of failures


@dataclass(frozen=True)
class Sensitivity:
    """Score of every optimizer against the learning rate, from the tuning trials.

    Args:
        study: The stored study.
    """

    study: StoredStudy

    def frame(self) -> pd.DataFrame:
        """Return one row per optimizer and learning rate.

        Columns: ``optimizer, lr, seeds, diverged, stopped``; ``median`` over the seeds, a failed
        seed counting as the worst, NaN when that is a failure; ``low, high`` over the seeds
        that finished; ``chosen``, true at the rate that the study chose for an optimizer.
        """
        tuned = self.study.trials[self.study.trials["phase"] == "tune"]
        groups = tuned.groupby(["optimizer", "lr"], sort=True)
        rows = [{"optimizer": key[0], "lr": key[1]} | self._row(own) for key, own in groups]
        table = pd.DataFrame(rows, columns=_COLUMNS)
        return table.assign(chosen=self.study.at_chosen_rate(table))

    def _row(self, own: pd.DataFrame) -> dict[str, float]:
        scores = own[self.study.tuning_score].where(own["status"] == "ok")
        worst = -np.inf if self.study.score.direction == "max" else np.inf
        middle = float(scores.fillna(worst).median())
        return {
            "seeds": len(own),
            "diverged": int((own["status"] == "diverged").sum()),
            "stopped": int((own["status"] == "stopped").sum()),
            "median": middle if np.isfinite(middle) else np.nan,
            "low": float(scores.min()),
            "high": float(scores.max()),
        }

    def plot(self) -> go.Figure:
        """Return the figure: scores above, failures in a strip at the lower edge."""
        table = self.frame()
        failed = table[table["diverged"] + table["stopped"] > 0]
        names = [name for name in self.study.optimizers if name in set(failed["optimizer"])]
        chart = _panels(names)
        for name, look in looks(self.study.optimizers).items():
            own = table[(table["optimizer"] == name) & table["median"].notna()]
            chart.add_trace(self._line(own, name, look), row=1, col=1)
            chart.add_trace(self._chosen(own[own["chosen"]], name, look), row=1, col=1)
            if name in names:
                mine = failed[failed["optimizer"] == name]
                chart.add_trace(_marks(mine, names.index(name), name, look), row=2, col=1)
        part = "validation" if self.study.tuning_score == "val_score" else "test"
        chart.update_yaxes(**self.study.score.axis(table["median"]), row=1, col=1)
        head(chart, self.study.score.title(f"median {part}"))
        return thinned(chart, [row["optimizer"] for row in self.study.rows("ranking")])

    def _line(self, own: pd.DataFrame, name: str, look: Look) -> go.Scatter:
        number = f"%{{y:{self.study.score.hover}}}"
        return go.Scatter(
            x=own["lr"].tolist(),
            y=own["median"].tolist(),
            error_y={"type": "data", "symmetric": False, "width": 0, "thickness": 1.5}
            | {"array": (own["high"] - own["median"]).tolist(), "color": look.faded(0.45)}
            | {"arrayminus": (own["median"] - own["low"]).tolist()},
            name=label(name),
            legendgroup=label(name),
            mode="lines+markers",
            line={"color": look.colour, "dash": look.dash, "width": 2},
            marker={"symbol": look.marker, "size": 8},
            hovertemplate=f"{label(name)}, lr %{{x:.4~g}}: {number}<extra></extra>",
        )

    def _chosen(self, chosen: pd.DataFrame, name: str, look: Look) -> go.Scatter:
        number = f"%{{y:{self.study.score.hover}}}"
        return go.Scatter(
            x=chosen["lr"].tolist(),
            y=chosen["median"].tolist(),
            legendgroup=label(name),
            showlegend=False,
            mode="markers",
            marker={"symbol": "circle-open", "size": 17, "color": look.colour}
            | {"line": {"width": 2.5}},
            hovertemplate=f"chosen for {label(name)}, lr %{{x:.4~g}}: {number}<extra></extra>",
        )


_COLUMNS = ["optimizer", "lr", "seeds", "diverged", "stopped", "median", "low", "high"]


def _panels(failing: list[str]) -> go.Figure:
    """Return the empty figure, with a strip below for the optimizers that had failures."""
    strip = 24 + _STRIP_ROW * len(failing)
    height = 430 + (strip if failing else 0)
    shares = [1 - strip / height, strip / height] if failing else [1.0]
    chart = make_subplots(
        rows=len(shares), cols=1, shared_xaxes=True, row_heights=shares, vertical_spacing=0.02
    )
    chart.update_layout(**base_layout(height))
    chart.update_xaxes(
        type="log", dtick=1, tickangle=0, exponentformat="power", tickfont={"size": 11}
    )
    chart.update_xaxes(title={"text": "learning rate"}, row=len(shares), col=1)
    if failing:
        names = {
            "tickvals": list(range(len(failing))),
            "ticktext": [tick(name) for name in failing],
        }
        limits = {"range": [len(failing) - 0.4, -0.6], "tickfont": {"size": 10}}
        chart.update_yaxes(**names, **limits, automargin=True, row=2, col=1)
    return chart


def _marks(failed: pd.DataFrame, row: int, name: str, look: Look) -> go.Scatter:
    share = (failed["diverged"] + failed["stopped"]) / failed["seeds"]
    counts = failed[["diverged", "stopped", "seeds"]].to_numpy().tolist()
    symbols = ["x-thin" if one else "line-ns" for one in failed["diverged"]]
    return go.Scatter(
        x=failed["lr"].tolist(),
        y=[row] * len(failed),
        legendgroup=label(name),
        showlegend=False,
        mode="markers",
        customdata=counts,
        marker={"symbol": symbols, "size": 9, "opacity": (0.4 + 0.6 * share).tolist()}
        | {"color": look.colour, "line": {"width": 2.5, "color": look.colour}},
        hovertemplate=f"{label(name)}, lr %{{x:.4~g}}: %{{customdata[0]}} diverged, "
        "%{customdata[1]} stopped of %{customdata[2]} seeds<extra></extra>",
    )
