"""The figure of a rule or method, and what is said below it."""

from functools import cache

from docs.generator.drawing import figure
from docs.generator.formulas import inline
from docs.generator.paths import Path, path
from docs.generator.rates import stored_rates
from docs.generator.surfaces import SURFACES, Surface

FIGURE_RATES = (
    "Learning rates are tuned for each rule and surface: one per power of ten from 1e-4 to 100,"
    " then two on either side of the best; best is the fewest steps to the goal, or else the"
    " lowest loss in the end, of runs that stay in the picture."
)


def drawn(name: str) -> str:
    """Return the figure as SVG."""
    panels = [
        (surface, _heading(name, key), _own(name, key), _own("sgd", key))
        for key, surface in SURFACES.items()
    ]
    return figure(name, panels)


def caption(name: str) -> str:
    """Return a sentence per surface: how far the path comes."""
    return "\n".join(
        f"- {surface.name} {inline(surface.formula)} from {surface.start}: {_told(name, key)}"
        for key, surface in SURFACES.items()
    )


def _told(name: str, key: str) -> str:
    other = "" if name == "sgd" else f"; gradient descent: {_result('sgd', key)}"
    return f"{_result(name, key)}{other}."


def _result(name: str, key: str) -> str:
    surface, run = SURFACES[key], _own(name, key)
    arrival = run.arrival(surface.goal)
    at = _rate(name, key)
    if arrival is not None:
        return f"{at}below {surface.goal:g} from step {arrival} on"
    return f"{at}{run.losses[-1]:.1e} after {len(run.losses) - 1} steps"


def _heading(name: str, key: str) -> str:
    surface, run = SURFACES[key], _own(name, key)
    arrival = run.arrival(surface.goal)
    steps = f"over {len(run.losses) - 1} steps" if arrival is None else f"{arrival} steps"
    return f"{surface.name}, {_rate(name, key)}{steps}"


def _rate(name: str, key: str) -> str:
    rate = stored_rates()[name][key]
    return "" if rate is None else f"lr {rate:g}, "


@cache
def _own(name: str, key: str) -> Path:
    surface: Surface = SURFACES[key]
    return path(name, surface, stored_rates()[name][key])
