"""From a tensor that disagrees along a direction to its wrong entries."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ravine.gradients._listening import Listener
from ravine.gradients._place import Place
from ravine.gradients._points import values_at
from ravine.gradients._slope import SAFETY, Slope

MOST_FOUND = 8  # wrong entries looked up in a tensor where many are
_SEARCHES = 2  # the errors of a few entries of one size may cancel in one
MOST_REFINED = 32  # entries of a tensor that are looked at closely one by one
# Relative disagreement of an entry that is looked at closely.
_SUSPECT = {torch.float64: 1e-5, torch.float32: 2e-2}
MOST_COMPARED = 512  # entries whose numeric value is taken to see a pattern


@dataclass(frozen=True)
class Wrong:
    """Entries of a tensor that are wrong, each confirmed, and numeric values of a sample.

    Args:
        entries: Flat indices.
        slopes: Of these entries.
        sampled: Flat indices of the sample [N].
        numeric: Their numeric values [N].
        noise: What rounding may add to each of these.
    """

    entries: list[int]
    slopes: list[Slope]
    sampled: Tensor
    numeric: Tensor
    noise: float

    def hidden(self, gradient: Tensor) -> bool:
        """Return whether rounding hides most of what entries of a gradient show."""
        largest = max(float(gradient.abs().max()), float(self.numeric.abs().max()) - self.noise)
        return self.noise > 0.3 * largest


def wrong_entries(
    place: Place, which: int, generator: torch.Generator, listener: Listener
) -> Wrong:
    """Return wrong entries of a tensor by halving, and a sample to see their pattern in.

    A group whose random direction agrees with the gradient is left out as a whole, so one wrong
    entry of N takes about 2 log2 N slopes.
    """
    found: dict[int, Slope] = {}
    for _ in range(_SEARCHES):
        found = found or _halved(place, which, generator)
    sampled = _sample(place.entries(which), list(found), generator)
    numeric = numeric_entries(place, which, sampled, listener)
    noise = entry_noise(place, which)
    return Wrong(list(found), list(found.values()), sampled, numeric, noise)


def _halved(place: Place, which: int, generator: torch.Generator) -> dict[int, Slope]:
    found: dict[int, Slope] = {}
    waiting = [place.entries(which)]
    while waiting and len(found) < MOST_FOUND:
        group = waiting.pop()
        if len(group) == 1:
            slope = place.pair(which, int(group))
            if slope.wrong and not slope.kink:
                found[int(group)] = slope
            continue
        waiting += disagreeing_halves(place, which, group, generator)
    return found


def numeric_entries(place: Place, which: int, entries: Tensor, listener: Listener) -> Tensor:
    """Return central differences of the loss by some entries of one tensor [N].

    At the edge of its domain, where these are NaN, one-sided derivatives stand for the first ones.
    """
    step = place.entry_step(which)
    flat = place.base[which].view(-1)[entries]
    width = step * flat.abs().clamp(min=place.scales[which])
    up, down = (flat + width) - flat, (flat - width) - flat
    values = values_at(
        place.objective(listener), which, entries.repeat(2), torch.cat([up, down])
    ).double()
    place.evaluations += 2 * len(entries)
    high, low = values.view(2, -1)
    made = (high - low) / (up - down).double()
    for i in made.isnan().nonzero().flatten().tolist()[:MOST_REFINED]:
        made[i] = place.pair(which, int(entries[i])).numeric
    return made


def entry_noise(place: Place, which: int) -> float:
    """Return what rounding may add to a numeric value of a tensor's entries."""
    return SAFETY * place.noise(which) / (place.entry_step(which) * place.scales[which])


def suspects(place: Place, which: int, entries: Tensor, numeric: Tensor) -> list[int]:
    """Return the entries whose numeric value disagrees with the gradient, worst first."""
    gradient = place.gradients[which]
    assert gradient is not None
    given = gradient.view(-1)[entries].double()
    tolerance = _SUSPECT[place.box.dtype]
    typical = float(gradient.double().square().mean().sqrt())
    allowed = tolerance * torch.maximum(given.abs(), numeric.abs())
    allowed += tolerance * typical + entry_noise(place, which)
    excess = (given - numeric).abs() - allowed
    excess[numeric.isnan()] = float("inf")
    order = excess.argsort(descending=True)
    return [int(entries[i]) for i in order[: int((excess > 0).sum())]]


def disagreeing_halves(
    place: Place, which: int, group: Tensor, generator: torch.Generator
) -> list[Tensor]:
    """Return the halves of a group of entries whose random direction disagrees, last one first."""
    return [
        half
        for half in reversed(group.tensor_split(2))
        if not place.glance(place.direction([which], generator, half))
    ]


def _sample(entries: Tensor, found: list[int], generator: torch.Generator) -> Tensor:
    if len(entries) <= MOST_COMPARED:
        return entries
    drawn = torch.randint(len(entries), (MOST_COMPARED // 2,), generator=generator)
    return torch.cat([torch.tensor(found, dtype=torch.int64), entries[drawn]]).unique()
