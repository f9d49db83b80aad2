"""The gradient check of a model, a loss and a batch: directions first, then entries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ravine.core.errors import first_line
from ravine.gradients._analytic import (
    Analytic,
    analytic_gradients,
    not_finite,
    raising_backward,
)
from ravine.gradients._causes import Diagnosis, kink_note, precision_note, reads_original
from ravine.gradients._detached import frozen, missing_gradient
from ravine.gradients._given import check_counts, check_given, check_runs
from ravine.gradients._listening import Listener, Silent
from ravine.gradients._place import Place, Slope
from ravine.gradients._report import Checked, Finding, Report
from ravine.gradients._sandbox import Sandbox, outside_unmoved, sandbox
from ravine.gradients._search import numeric_entries, suspects
from ravine.gradients._steady import hold_still

MOST_ENTRIES = 300_000  # of a full check; above, every tensor is sampled
FALL_BACK = 1000  # entries per tensor then
_DIRECTIONS = 2
_JITTER = 1e-3  # of the scale of a tensor: far more than a step, far less than a weight
_MOST_REFINED = 32  # entries of a tensor that are looked at closely in a full check


def check(
    model: nn.Module,
    loss: Callable[..., Tensor],
    batch: Sequence[Any],
    *,
    full: bool = False,
    sample: int | None = None,
    seed: int = 0,
    listener: Listener | None = None,
) -> Report:
    """Check every gradient of ``loss(model(inputs), targets)`` against differences of the loss.

    Slopes along random directions over all parameters and float inputs come first: a wrong entry
    anywhere shows in them. Where one disagrees, each tensor is tested, wrong entries are found by
    halving, and experiments decide the cause. Everything runs in a float64 copy: the model, its
    buffers, mode and gradients, and all random generators stay as they are.

    Args:
        model: Checked in the mode it is in.
        loss: Called as ``loss(outputs, targets)``; returns a tensor with one element.
        batch: ``(inputs, targets)``, several inputs and then the targets, or ``({name: input},
            targets)`` for keyword inputs. Inputs that are not float are not checked.
        full: Check every entry too, by central differences; above 300,000 entries a sample.
        sample: Check so many random entries of each tensor too, >= 1.
        seed: Of directions, samples and whatever the model draws.
        listener: Hears of progress.

    Returns:
        Findings with their causes. ``ok`` is False for a wrong backward pass, NaN or infinite
        gradients, and a parameter that the loss depends on but that gets no gradient; a kink,
        rounding, randomness and statistics that move are noted only.

    Raises:
        ModelError: The model cannot be copied or run, is in half precision, or the loss is no
            scalar.
        DataError: The batch holds no tensor or no sample.
        SettingError: `sample` is no integer >= 1, or given with `full`.

    >>> model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> report = check(model, nn.functional.cross_entropy, (torch.ones(5, 3), torch.ones(5).long()))
    >>> report.ok, len(report.checked)
    (True, 5)
    """
    check_given(model, loss, batch)
    check_counts(full, sample)
    with outside_unmoved(), torch.enable_grad():
        run = _Run(seed, listener or Silent())
        own = _own_dtype(model, batch)
        check_runs(model, sandbox(model, loss, batch, own, seed), batch)
        narrow = sandbox(model, loss, batch, own, seed)
        box = run.wide(model, loss, batch, narrow)
        return run.report(model, box, narrow, run.entries_per_tensor(box, full, sample))


@dataclass
class _Run:
    """One check under way: what it has found so far."""

    seed: int
    watcher: Listener
    findings: list[Finding] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
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

    def wide(self, model: nn.Module, loss: Any, batch: Sequence[Any], narrow: Sandbox) -> Sandbox:
        """Return the float64 sandbox; the narrow one where the model cannot run in float64."""
        if narrow.dtype == torch.float64:
            return narrow
        box = sandbox(model, loss, batch, torch.float64, self.seed)
        try:
            box.value()
        except Exception as error:
            self.noticed(
                f"the model does not run in float64 ({first_line(error)}); checked in"
                f" {_named(narrow.dtype)}, where errors under 2 % cannot be seen"
            )
            return narrow
        return sandbox(model, loss, batch, torch.float64, self.seed)  # as if nothing had run

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
        self, model: nn.Module, box: Sandbox, narrow: Sandbox, entries: int | None
    ) -> Report:
        """Run all experiments and return the report."""
        self.findings += [
            frozen(name.removeprefix("model."))
            for name, one in box.whole.named_parameters()
            if not one.requires_grad
        ]
        self.findings += hold_still(box)
        analytic = analytic_gradients(box)
        self._notices_of(model, analytic)
        checked: list[Checked] = []
        if analytic.raised is not None:
            self.findings.append(raising_backward(box, analytic))
        elif not self._not_finite(box, analytic) and self._steady():
            checked = self._compare(box, analytic, entries)
            self._precision(box, narrow, analytic)
        ordered = sorted(self.findings, key=lambda one: not one.error)
        return Report(
            tuple(ordered),
            tuple(checked),
            _named(box.dtype),
            analytic.loss,
            self.largest,
            self.evaluations,
            tuple(self.notices),
        )

    def _compare(self, box: Sandbox, analytic: Analytic, entries: int | None) -> list[Checked]:
        place = Place(box, analytic.gradients, analytic.loss)
        for which in set(range(len(box.subjects))) - set(place.known):
            if box.subjects[which].numel():
                self.findings.append(missing_gradient(place, box, which, self.generator))
        wrong = self._wrong_tensors(place)
        if any(slope.kink for slope in wrong.values()):
            wrong, place = self._away_from_kinks(box, place, wrong)
        diagnosis = Diagnosis(place, box, self.generator, self.seed, self)
        self.findings += [diagnosis.wrong_backward(which) for which in wrong]
        looked = dict.fromkeys(place.known, 0)
        if entries is not None:
            for which in place.known:
                if which not in wrong:
                    looked[which] = self._entries(diagnosis, which, entries)
        self.evaluations += place.evaluations
        bad = {one.parameter for one in self.findings if one.error}
        return [
            Checked(
                name := box.names[t],
                tuple(box.subjects[t].shape),
                _DIRECTIONS,
                looked[t],
                name not in bad,
            )
            for t in place.known
        ]

    def _wrong_tensors(self, place: Place) -> dict[int, Slope]:
        """Return the tensors whose slopes disagree with the gradient; one test for all first."""
        if not place.known:
            return {}
        together = [
            place.look(place.direction(place.known, self.generator)) for _ in range(_DIRECTIONS)
        ]
        self.largest = max(self.largest, *(one.relative for one in together))
        if all(one.agrees for one in together):
            return {}
        slopes = {t: place.look(place.direction([t], self.generator)) for t in place.known}
        return {t: slope for t, slope in slopes.items() if not slope.agrees}

    def _away_from_kinks(
        self, box: Sandbox, place: Place, wrong: dict[int, Slope]
    ) -> tuple[dict[int, Slope], Place]:
        """Repeat the test at a point nearby, where no kink lies: what still disagrees is wrong."""
        self.evaluations += place.evaluations
        for which, base in enumerate(place.base):
            noise = torch.randn(base.shape, generator=self.generator, dtype=base.dtype)
            with torch.no_grad():
                moves = noise.to(base.device) * (_JITTER * place.scales[which])
                box.subjects[which].add_(moves)
        moved = analytic_gradients(box)
        nearby = Place(box, moved.gradients, moved.loss)
        still = self._wrong_tensors(nearby)
        kinks = [which for which in wrong if which not in still]
        _put_back(box, place)
        self.findings += [kink_note(place, which, self.generator) for which in kinks]
        _put_back(box, nearby)
        return still, nearby

    def _entries(self, diagnosis: Diagnosis, which: int, count: int) -> int:
        """Check single entries of a tensor whose directions agree; return how many."""
        place = diagnosis.place
        size = place.base[which].numel()
        entries = torch.arange(size)
        if count < size:
            entries = torch.randperm(size, generator=self.generator)[:count].sort().values
        numeric = numeric_entries(place, which, entries, self)
        found = suspects(place, which, entries, numeric)
        slopes = {entry: place.pair(which, entry) for entry in found[:_MOST_REFINED]}
        apart = {entry: one for entry, one in slopes.items() if not one.agrees}
        wrong = {entry: one for entry, one in apart.items() if not one.kink}
        if wrong:
            self.findings.append(diagnosis.wrong_backward(which, (entries, numeric)))
        elif apart:
            self.findings.append(kink_note(place, which, self.generator, next(iter(apart))))
        return len(entries)

    def _not_finite(self, box: Sandbox, analytic: Analytic) -> bool:
        """Note values that are not finite; return whether there are any."""
        finding = not_finite(box, analytic, f"in {_named(box.dtype)}")
        if finding is not None:
            self.findings.append(finding)
            return True
        return False

    def _precision(self, box: Sandbox, narrow: Sandbox, analytic: Analytic) -> None:
        """Compare with the gradients in the model's own dtype."""
        if narrow is box:
            return
        narrow.hold_all = box.hold_all
        own = analytic_gradients(narrow)
        if box.draws and abs(own.loss - analytic.loss) > 1e-3 * abs(analytic.loss):
            return  # torch draws other numbers in another dtype: nothing to compare
        place = f"in {_named(narrow.dtype)}; in float64 they are finite"
        finding = not_finite(narrow, own, place)
        if finding is None and own.raised is not None:
            finding = raising_backward(narrow, own)
        if finding is None:
            finding = precision_note(box.names, own.gradients, analytic.gradients, narrow.dtype)
        if finding is not None:
            self.findings.append(finding)

    def _steady(self) -> bool:
        """Return whether the loss could be made to repeat."""
        return not any("nothing could be checked" in one.evidence for one in self.findings)

    def _notices_of(self, model: nn.Module, analytic: Analytic) -> None:
        if reads_original(model, analytic.nodes):
            self.noticed(
                "the loss reads parameters of the model itself rather than its outputs; that part"
                " is held constant, since the check works on a copy; return it from the model"
            )


def _put_back(box: Sandbox, place: Place) -> None:
    with torch.no_grad():
        for subject, base in zip(box.subjects, place.base, strict=True):
            subject.copy_(base)


def _own_dtype(model: nn.Module, batch: Sequence[Any]) -> torch.dtype:
    """Return the dtype of the first float parameter, else of the first float input."""
    floats = [p.dtype for p in model.parameters() if p.is_floating_point()]
    floats += [one.dtype for one in batch if isinstance(one, Tensor) and one.is_floating_point()]
    return floats[0] if floats else torch.float32


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
