"""One gradient check under way: its experiments in order, and what they have found."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from ravine.core.errors import first_line
from ravine.gradients._analytic import (
    Analytic,
    analytic_gradients,
    analytic_of,
    raising_backward,
)
from ravine.gradients._causes import Diagnosis
from ravine.gradients._detached import frozen, missing_gradient
from ravine.gradients._finite import not_finite
from ravine.gradients._judge import DIRECTIONS, Judged, coarseness, judge, undecided
from ravine.gradients._kinks import kink_findings, no_subgradients
from ravine.gradients._listening import Listener
from ravine.gradients._notices import notices_of
from ravine.gradients._ordinary import ordinary_findings
from ravine.gradients._own_dtype import own_dtype_findings
from ravine.gradients._padding import padding_notes, padding_rows
from ravine.gradients._place import Place
from ravine.gradients._report import Checked, Finding, Report
from ravine.gradients._sandbox import Sandbox
from ravine.gradients._search import MOST_REFINED, entry_noise, numeric_entries, suspects
from ravine.gradients._steady import Held, hold, notes, unsteady
from ravine.gradients._widening import wide_sandbox

MOST_ENTRIES = 300_000  # of a full check; above, every tensor is sampled
FALL_BACK = 1000  # entries per tensor then
# Of the scale of a tensor: far more than a step, which rounding makes long.
_JITTER, _ROUGH_JITTER = 1e-3, 0.3


@dataclass
class Run:
    """One check under way: what it has found so far.

    Args:
        seed: Of directions and samples.
        watcher: Hears of progress.
    """

    seed: int
    watcher: Listener
    findings: list[Finding] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    largest: float = 0.0
    evaluations: int = 0

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)

    def progressed(self, what: str, done: int, total: int) -> None:
        """Tell the watcher."""
        self.watcher.progressed(what, done, total)

    def noticed(self, text: str) -> None:
        """Keep a notice for the report, and tell the watcher."""
        if text not in self.notices:
            self.notices.append(text)
            self.watcher.noticed(text)

    def wide(
        self, model: nn.Module, loss: Any, batch: Sequence[Any], narrow: Sandbox
    ) -> tuple[Sandbox, Held]:
        """Return the float64 sandbox, held; the narrow one where the model cannot run so."""
        if narrow.dtype == torch.float64:
            return narrow, hold(narrow)
        found = wide_sandbox(model, loss, batch, self.seed)
        if isinstance(found, tuple):
            return found
        self.noticed(
            f"the model does not run in float64 ({first_line(found)}); checked in"
            f" {_named(narrow.dtype)}, where errors under 2 % cannot be seen"
        )
        return narrow, hold(narrow)

    def entries_per_tensor(self, box: Sandbox, full: bool, sample: int | None) -> int | None:
        """Return how many entries of each tensor to check one by one; None: none."""
        count = sum(one.numel() for one in box.subjects)
        if full and count > MOST_ENTRIES:
            self.noticed(
                f"{count:,} entries are too many for a full check (at most {MOST_ENTRIES:,});"
                f" {FALL_BACK} entries of each tensor are sampled instead"
            )
            return FALL_BACK
        return count if full else sample

    def report(
        self, model: nn.Module, box: Sandbox, held: Held, narrow: Sandbox, entries: int | None
    ) -> Report:
        """Run all experiments and return the report."""
        analytic = analytic_of(box, held.first, held.loss)
        self.findings += [
            frozen(name.removeprefix("model."))
            for name, one in box.whole.named_parameters()
            if not one.requires_grad
        ]
        self.rows = padding_rows(box)
        self.findings += padding_notes(box, self.rows)
        self.findings += notes(box, held)
        moving = unsteady(box, held.first, analytic.loss)
        self.findings += [moving] if moving else []
        for text in notices_of(model, analytic):
            self.noticed(text)
        checked: list[Checked] = []
        if analytic.raised is not None:
            self.findings.append(raising_backward(box, analytic))
        elif not self._not_finite(box, analytic) and moving is None:
            made = self._ordinary(box, analytic) if narrow is box else []  # before the point moves
            checked = self._marked(self._compare(box, analytic, entries))
            if narrow is not box:
                made = self._own_dtype(box, narrow, analytic)
            right = {one.name for one in checked if one.agrees}
            self.findings += [one for one in made if one.parameter in right]
        ordered = sorted(self.findings, key=lambda one: not one.error)
        return Report(
            tuple(ordered),
            tuple(self._marked(checked)),
            _named(box.dtype),
            analytic.loss,
            self.largest,
            self.evaluations,
            tuple(self.notices),
            tuple(self.undecided),
        )

    def _compare(self, box: Sandbox, analytic: Analytic, entries: int | None) -> list[Checked]:
        place = Place(box, analytic.gradients, analytic.loss, self.rows)
        self._missing(place, box)
        judged = judge(place, self.generator)
        if judged.kinked:
            judged, place = self._away_from_kinks(box, place, judged)
        self._tell(place, judged)
        diagnosis = Diagnosis(place, box, self.generator, self.seed, self)
        self.findings += [
            diagnosis.wrong_backward(which, slope) for which, slope in judged.wrong.items()
        ]
        seen = [which for which in place.known if which not in judged.undecided]
        looked = dict.fromkeys(seen, 0)
        if entries is not None:
            for which in seen:
                if which not in judged.wrong:
                    looked[which] = self._entries(diagnosis, box, which, entries)
        self.evaluations += place.evaluations
        names, shapes = box.names, [tuple(one.shape) for one in box.subjects]
        return [Checked(names[t], shapes[t], DIRECTIONS, looked[t], agrees=True) for t in seen]

    def _marked(self, checked: list[Checked]) -> list[Checked]:
        """Return what was checked, with what does not agree marked."""
        bad = {one.parameter for one in self.findings if one.error}
        return [replace(one, agrees=one.name not in bad) for one in checked]

    def _missing(self, place: Place, box: Sandbox) -> None:
        """Add a finding for every tensor without a gradient."""
        for which in sorted(set(range(len(box.subjects))) - set(place.known)):
            if box.subjects[which].numel():
                found = missing_gradient(place, box, which, self.generator)
                self.findings.append(found)
                if found.cause == "precision":
                    self.undecided.append(box.names[which])

    def _tell(self, place: Place, judged: Judged) -> None:
        """Add what directions say short of an error."""
        self.largest = max(self.largest, judged.largest)
        for which, slope in judged.undecided.items():
            self.findings.append(undecided(place, which, slope))
            self.undecided.append(place.box.names[which])
        said = coarseness(place, judged.coarse)
        if said is not None:
            self.noticed(said)

    def _away_from_kinks(self, box: Sandbox, place: Place, judged: Judged) -> tuple[Judged, Place]:
        """Repeat the test at a point nearby, where no kink lies: what still disagrees is wrong."""
        nearby = self._nearby(box, place)
        again = judge(nearby, self.generator)
        _put(box, place)
        still = {*again.wrong, *again.undecided}
        kinked = {t: None for t in (*judged.wrong, *judged.kinked) if t not in still}
        impossible = no_subgradients(box, self.seed)
        self.findings += kink_findings(place, kinked, impossible, self.generator)
        self.evaluations += place.evaluations
        _put(box, nearby)
        return again, nearby

    def _nearby(self, box: Sandbox, place: Place) -> Place:
        """Move to a point nearby and return it."""
        far = _ROUGH_JITTER if place.rough else _JITTER
        for which, base in enumerate(place.base):
            noise = torch.randn(base.shape, generator=self.generator, dtype=base.dtype)
            with torch.no_grad():
                moves = noise.to(base.device) * (far * place.scales[which])
                box.subjects[which].add_(moves)
        moved = analytic_gradients(box)
        return Place(box, moved.gradients, moved.loss, self.rows)

    def _entries(self, diagnosis: Diagnosis, box: Sandbox, which: int, count: int) -> int:
        """Check single entries of a tensor whose directions agree; return how many."""
        place = diagnosis.place
        entries = place.entries(which)
        if self._too_noisy(place, which) or not len(entries):
            return 0
        if count < len(entries):
            drawn = torch.randperm(len(entries), generator=self.generator)[:count]
            entries = entries[drawn].sort().values
        numeric = numeric_entries(place, which, entries, self)
        found = suspects(place, which, entries, numeric)
        slopes = {entry: place.pair(which, entry) for entry in found[:MOST_REFINED]}
        apart = {entry: one for entry, one in slopes.items() if one.wrong}
        if any(not one.kink for one in apart.values()):
            self.findings.append(diagnosis.wrong_backward(which, None, (entries, numeric)))
        elif apart:
            self._kinked_entries(box, place, which, list(apart))
        return len(entries)

    def _kinked_entries(self, box: Sandbox, place: Place, which: int, entries: list[int]) -> None:
        """Tell entries at a kink from those that are wrong at a point nearby too."""
        nearby = self._nearby(box, place)
        slopes = [nearby.pair(which, entry) for entry in entries]
        if any(one.wrong and not one.kink for one in slopes):
            chosen = torch.tensor(entries)
            compared = chosen, numeric_entries(nearby, which, chosen, self)
            diagnosis = Diagnosis(nearby, box, self.generator, self.seed, self)
            self.findings.append(diagnosis.wrong_backward(which, None, compared))
            _put(box, place)
            return
        _put(box, place)
        impossible = no_subgradients(box, self.seed)
        kinked = {which: entries[0]}
        self.findings += kink_findings(place, kinked, impossible, self.generator)

    def _too_noisy(self, place: Place, which: int) -> bool:
        """Return whether rounding hides single entries of a tensor, and say so."""
        gradient = place.gradients[which]
        assert gradient is not None
        typical = float(gradient.double().square().mean().sqrt())
        if not typical or entry_noise(place, which) <= 0.1 * typical:
            return False
        self.noticed(
            f"rounding hides single entries of {place.box.names[which]}: its directions alone were"
            " checked"
        )
        return True

    def _not_finite(self, box: Sandbox, analytic: Analytic) -> bool:
        """Note values that are not finite; return whether there are any."""
        finding = not_finite(box, analytic, f"in {_named(box.dtype)}")
        if finding is not None:
            self.findings.append(finding)
            return True
        return False

    def _ordinary(self, box: Sandbox, analytic: Analytic) -> list[Finding]:
        """Return what is wrong only where inputs need no gradient."""
        found, notice = ordinary_findings(box, analytic)
        if notice is not None:
            self.noticed(notice)
        return found

    def _own_dtype(self, box: Sandbox, narrow: Sandbox, analytic: Analytic) -> list[Finding]:
        """Return what differs or is wrong in the model's own dtype, for tensors right in float64.

        That a gradient is the same in ordinary training is looked at here too: a pass in float32
        takes a fourth of one in float64.
        """
        box.hold()  # modules behind the loss are shared by both
        held = hold(narrow)
        own = analytic_of(narrow, held.first, held.loss)
        ordinary = [] if own.raised else self._ordinary(narrow, own)
        if box.sources and abs(own.loss - analytic.loss) > 1e-3 * abs(analytic.loss):
            return ordinary  # torch draws other numbers in another dtype: nothing to compare
        place = f"in {_named(narrow.dtype)}; in float64 they are finite"
        finding = not_finite(narrow, own, place)
        if finding is None and own.raised is not None:
            finding = raising_backward(narrow, own)
        if finding is not None:
            self.findings.append(finding)
            return ordinary
        return ordinary + own_dtype_findings(narrow, own, analytic, self.rows, self.seed)


def _put(box: Sandbox, place: Place) -> None:
    """Put a sandbox at a place."""
    with torch.no_grad():
        for subject, base in zip(box.subjects, place.base, strict=True):
            subject.copy_(base)


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
