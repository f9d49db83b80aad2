"""Whether two evaluations of a loss are equal, and what is held still to make them so."""

from typing import NamedTuple

from torch import Tensor, nn

from ravine.gradients._draws import Source, drawn_from
from ravine.gradients._held import Kept, added_to, kept_by, overwritten, replaced, same
from ravine.gradients._report import Finding
from ravine.gradients._sandbox import Sandbox


class Held(NamedTuple):
    """What was found out while a sandbox was held.

    Args:
        changed: Entries of modules that have other values after every evaluation.
        first: The loss.
        moved: The loss from where these entries have moved to.
        loss: The loss with its graph, for a backward pass before any further evaluation.
    """

    changed: list[Kept]
    first: Tensor
    moved: Tensor
    loss: Tensor


def notes(box: Sandbox, held: Held) -> list[Finding]:
    """Return a note for each kind of change between evaluations that is held back."""
    off = abs(float(held.moved - held.first))
    # Many plain attributes are but notes for whoever looks at them later.
    names = [one.name for one in held.changed if one.buffer or off]
    made = [_mode(names, off)] if names else []
    return [*made, _randomness(box, held.first)] if box.sources else made


def unsteady(box: Sandbox, first: Tensor, again: float) -> Finding | None:
    """Return the note for a loss that differs between evaluations though all is held; else None.

    Args:
        box: The sandbox, held.
        first: Its loss.
        again: Its loss in another evaluation, whose graph was kept: it may be rounded otherwise, or
            have a term more, which then every further one has.
    """
    if again == float(first):
        return None
    # Two more, as a loss may take turns between two values.
    third, fourth = box.value(), box.value()
    expected = first.new_tensor(again) if box.takes_gradients else first
    if same(third, fourth) and same(third, expected):
        return None
    off = max(abs(float(one - expected)) for one in (third, fourth))
    said = (
        f"two evaluations differ by {off:.3g} even with every generator that could be found seeded,"
        " and buffers and plain attributes put back; differences of such a loss say nothing about"
        " its gradient, so nothing could be checked: let the model draw from torch's default"
        " generator, and keep what it changes in buffers"
    )
    return Finding(None, "randomness", said, error=False)


def hold(box: Sandbox) -> Held:
    """Hold what every evaluation moves, however the loss may stand to it.

    What an evaluation changes in modules is put back before each; the generators that it moves
    are seeded. What still differs then depends on something that cannot be held: see `unsteady`.
    What the first one fills once and for all, such as a cache or weights set by the first batch,
    stays filled: so training finds it too.
    """
    roots: dict[str, nn.Module] = {"": box.whole, **box.outside}
    box.hold()
    entries = kept_by(roots)
    first, drawn = _draws(box)
    entries += added_to(roots, entries)
    if not (replaced(entries) or overwritten(entries)):
        box.sources = drawn
        return Held([], first, first, box.loss())
    filled = kept_by(roots)
    moved = box.value()
    filled += added_to(roots, filled)
    again = {one.place for one in filled if one.replaced or overwritten([one])}
    entries = [one for one in entries if one.place in again]
    changed = [one for one in entries if one.differs]
    box.standing, box.moving = replaced(entries), overwritten(entries)
    first, box.sources = _draws(box)
    return Held(changed, first, moved, box.loss())


def _draws(box: Sandbox) -> tuple[Tensor, list[Source]]:
    """Return the loss, and the generators that an evaluation moves."""
    box.hold()
    losses: list[Tensor] = []
    drawn = list(drawn_from(box.sources, lambda: losses.append(box.value())))
    return losses[0], drawn


def _mode(names: list[str], off: float) -> Finding:
    names = [one.removeprefix("model.") for one in names]
    statistics = [one for one in names if "num_batches" not in one] or names
    others = f" and {len(statistics) - 1} more" if len(statistics) > 1 else ""
    effect = (
        f"a second evaluation of the same batch gives a loss that differs by {off:.3g}"
        if off
        else "the loss does not depend on them in this mode"
    )
    said = (
        f"an evaluation changes the statistics {statistics[0]}{others}: {effect}; they are put"
        " back before every evaluation"
    )
    return Finding(statistics[0], "mode", said, error=False)


def _randomness(box: Sandbox, first: Tensor) -> Finding:
    """Return the note on which generators an evaluation draws from."""
    off = abs(float(_other_seed(box) - first))
    effect = (
        f"two evaluations differ by {off:.3g}"
        if off
        else "the loss was the same with two seeds, which may be chance"
    )
    said = (
        f"an evaluation draws from {' and '.join(one.name for one in box.sources)}: {effect}; all"
        " were given one seed, and so the loss was checked as these numbers make it"
    )
    return Finding(None, "randomness", said, error=False)


def _other_seed(box: Sandbox) -> Tensor:
    """Return the loss with every generator seeded otherwise."""
    kept, box.seed = box.seed, box.seed + 1
    try:
        return box.value()
    finally:
        box.seed = kept
