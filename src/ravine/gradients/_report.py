"""What a check found: findings with their cause and evidence, as text, table and JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite, isnan, nan
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

CAUSES = ("backward", "kink", "precision", "randomness", "mode", "no-gradient", "non-finite")


@dataclass(frozen=True)
class Entry:
    """One entry of a gradient, both ways."""

    index: tuple[int, ...]
    analytic: float
    numeric: float


@dataclass(frozen=True)
class Finding:
    """One thing a check found.

    Args:
        parameter: Name of the parameter, buffer or input it concerns; None: the whole model.
        cause: One of `CAUSES`.
        evidence: What the experiments showed.
        error: Whether it makes the check fail.
        index: The entry shown, None where there is none.
        analytic: What autograd gives there.
        numeric: What differences of the loss give there.
        entries: All entries found wrong, the first ones where they are many.
    """

    parameter: str | None
    cause: str
    evidence: str
    error: bool
    index: tuple[int, ...] | None = None
    analytic: float | None = None
    numeric: float | None = None
    entries: tuple[Entry, ...] = ()

    @property
    def relative_error(self) -> float | None:
        """``|a - n| / max(|a|, |n|)``; None without both, 0 where both are 0, NaN where one is NaN.

        >>> Finding("w", "backward", "", True, (0,), 1.0, 2.0).relative_error
        0.5
        """
        if self.analytic is None or self.numeric is None:
            return None
        if isnan(self.analytic) or isnan(self.numeric):
            return nan
        size = max(abs(self.analytic), abs(self.numeric))
        return abs(self.analytic - self.numeric) / size if size else 0.0

    def __str__(self) -> str:
        where = self.parameter or "the model"
        if self.index is not None:
            where += f"[{', '.join(map(str, self.index))}]"
        numbers = ""
        if self.relative_error is not None:
            numbers = (
                f": autograd {self.analytic:.6g}, numeric {self.numeric:.6g},"
                f" relative error {self.relative_error:.1e}"
            )
        mark = "ERROR" if self.error else "note"
        return f"{mark} {self.cause} at {where}{numbers}\n    {self.evidence}"


@dataclass(frozen=True)
class Checked:
    """How one tensor was checked: every way it was moved could be decided."""

    name: str
    shape: tuple[int, ...]
    directions: int
    entries: int
    agrees: bool


@dataclass(frozen=True)
class Report:
    """The result of `ravine.gradients.check`.

    Args:
        findings: What was found, errors first.
        checked: Every tensor that was checked.
        undecided: Names of the tensors for which rounding hides whether gradients are right.
        dtype: The dtype the experiments ran in.
        loss: The loss at the point.
        largest_error: The largest difference along a direction, relative to its scale.
        evaluations: Forward passes made.
        notices: What else to know, such as a fall back to sampling.
    """

    findings: tuple[Finding, ...]
    checked: tuple[Checked, ...]
    dtype: str
    loss: float
    largest_error: float
    evaluations: int
    notices: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return not any(finding.error for finding in self.findings)

    @property
    def agrees(self) -> bool:
        """Whether gradients were seen to be right: no error, and nothing left unchecked.

        `ok` alone is also true where nothing could be checked.
        """
        return self.ok and bool(self.checked) and not self.undecided

    @property
    def verdict(self) -> str:
        """The outcome in a few words."""
        if not self.ok:
            return "WRONG GRADIENTS"
        if not self.checked:
            return "NOTHING WAS CHECKED"
        if self.undecided:
            return f"UNDECIDED for {len(self.undecided)} tensors, no error in the others"
        return "gradients agree"

    def frame(self) -> "pd.DataFrame":
        """Return one row per finding."""
        import pandas as pd  # noqa: PLC0415 - a second to import, and only for tables

        columns = ["parameter", "index", "cause", "error", "analytic", "numeric"]
        rows = [
            {name: getattr(one, name) for name in columns}
            | {"relative_error": one.relative_error, "evidence": one.evidence}
            for one in self.findings
        ]
        return pd.DataFrame(rows, columns=[*columns, "relative_error", "evidence"])

    def document(self) -> dict[str, Any]:
        """Return the report as plain values that JSON can hold; NaN and infinity as text."""
        parts = asdict(self)
        for one, made in zip(self.findings, parts["findings"], strict=True):
            made["relative_error"] = one.relative_error
        return {"ok": self.ok, "agrees": self.agrees, **_plain(parts)}

    def json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(self.document(), indent=1, allow_nan=False)

    @property
    def why_unchecked(self) -> str | None:
        """Why nothing was checked, None where something was."""
        if self.checked:
            return None
        causes = ("randomness", "precision")
        said = [one.evidence for one in self.findings if one.error or one.cause in causes]
        return next(iter(said), "no parameter and no float input has a gradient")

    def __str__(self) -> str:
        return "\n".join(
            [
                self._headline(),
                *(f"notice: {notice}" for notice in self.notices),
                *map(str, self.findings),
            ]
        )

    def _headline(self) -> str:
        if self.ok and not self.checked:
            return f"{self.verdict}: {self.why_unchecked}"
        entries = sum(one.entries for one in self.checked)
        tensors = f"{len(self.checked)} tensors by random directions"
        also = f" and {entries:,} entries one by one" if entries else ""
        return (
            f"{self.verdict}: {tensors}{also} in {self.dtype}, {self.evaluations:,} evaluations,"
            f" largest relative error {self.largest_error:.1e}"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return repr(value)
    return value
