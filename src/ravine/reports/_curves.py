"""Training curves of the settings chosen, with bands over the seeds."""

from dataclasses import dataclass

import pandas as pd
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from ravine.reports._score import scale
from ravine.reports._stored import StoredStudy
from ravine.reports._style import Look, base_layout, head, label, looks, thinned

_KINDS = ("val_score", "train_loss")
_CLIMB = 0.2  # share of training that the first view of the scores may leave out
_QUARTERS = {"low": 0.25, "median": 0.5, "high": 0.75}


@dataclass(frozen=True)
class Curves:
    """Validation score and training loss against the epoch, over the seeds of the final phase.

    Args:
        study: The stored study.
    """

    study: StoredStudy

    def frame(self) -> pd.DataFrame:
        """Return one row per optimizer and epoch.

        Columns: ``optimizer, epoch, seeds`` and, for ``val_score`` and ``train_loss`` each,
        ``_low, _median, _high``: the quartiles over the seeds still training then.
        """
        final = self.study.final_trials()[["member", "optimizer"]]
        points = self.study.curves.merge(final, on="member")
        groups = points.groupby(["optimizer", "epoch"], sort=True)
        columns = {
            f"{kind}_{name}": groups[kind].quantile(share)
            for kind in _KINDS
            for name, share in _QUARTERS.items()
        }
        seeds = groups["member"].nunique().rename("seeds")
        return pd.DataFrame({"seeds": seeds} | columns).reset_index()

    def plot(self) -> go.Figure:
        """Return the figure: a line is a median, its band the middle half of the seeds."""
        table = self.frame()
        kinds = [kind for kind in _KINDS if table[f"{kind}_median"].notna().any()] or ["train_loss"]
        chart = make_subplots(rows=len(kinds), cols=1, shared_xaxes=True, vertical_spacing=0.09)
        chart.update_layout(**base_layout(90 + 310 * len(kinds)))
        for panel, kind in enumerate(kinds, start=1):
            for name, look in looks(self.study.optimizers).items():
                own = table[(table["optimizer"] == name) & table[f"{kind}_median"].notna()]
                for trace in self._traces(own, kind, name, look, first=panel == 1):
                    chart.add_trace(trace, row=panel, col=1)
            chart.update_yaxes(**self._axis(kind, table), row=panel, col=1)
            head(chart, self._title(kind), panel)
        chart.update_xaxes(title={"text": "epoch"}, row=len(kinds), col=1)
        return thinned(chart, [row["optimizer"] for row in self.study.rows("ranking")])

    def _axis(self, kind: str, table: pd.DataFrame) -> dict[str, object]:
        values = table[f"{kind}_median"]
        if kind == "train_loss":
            return {**scale(values), "tickformat": ".3~g"}
        # Not turned: a falling loss beside the training loss is what one expects to see.
        axis = self.study.score.axis(values, turned=False)
        return axis | _late_range(table) if axis["type"] == "linear" else axis

    def _title(self, kind: str) -> str:
        score = self.study.score.title("validation", turned=False)
        return score if kind == "val_score" else "training loss"

    def _traces(
        self, own: pd.DataFrame, kind: str, name: str, look: Look, *, first: bool
    ) -> list[go.Scatter]:
        low, middle, high = (own[f"{kind}_{part}"].tolist() for part in _QUARTERS)
        epochs = own["epoch"].tolist()
        group = {"legendgroup": label(name), "name": label(name)}
        band = go.Scatter(
            x=epochs + epochs[::-1],
            y=high + low[::-1],
            fill="toself",
            fillcolor=look.faded(0.14),
            mode="none",
            hoverinfo="skip",
            showlegend=False,
            **group,
        )
        number = f"%{{y:{self.study.score.hover if kind == 'val_score' else '.4~g'}}}"
        line = go.Scatter(
            x=epochs,
            y=middle,
            mode="lines+markers" if len(own) == 1 else "lines",
            line={"color": look.colour, "dash": look.dash, "width": 2},
            showlegend=first,
            hovertemplate=f"{label(name)}, epoch %{{x:.4~g}}: {number}<extra></extra>",
            **group,
        )
        # One seed has no band: its quartiles are the line.
        return [line] if own["seeds"].max() == 1 else [band, line]


def _late_range(table: pd.DataFrame) -> dict[str, object]:
    """Return an axis range that fits the scores after the first fifth of training.

    The climb from chance would press what optimizers differ in into one line.
    """
    late = table[table["epoch"] >= _CLIMB * table["epoch"].max()]
    low, high = late["val_score_low"].min(), late["val_score_high"].max()
    if not high > low:
        return {}
    margin = 0.05 * (high - low)
    return {"range": [low - margin, high + margin], "autorange": False}
