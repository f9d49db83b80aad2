"""Losses and metrics: means over the batch, in plain tensor operations that vmap can stack."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy

from ravine.core.direction import Direction
from ravine.core.errors import SettingError, unknown
from ravine.problems._data import Data

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Score:
    """What members are compared by: its name, metric, direction and smallest difference."""

    name: str
    metric: Loss
    direction: Direction
    smallest_difference: float | None = None


def softmax(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the softmax cross-entropy ``mean_i(log sum_j exp(s_ij) - s_iy)``.

    Args:
        outputs: scores s, [B, K].
        targets: labels y, int64 [B].

    >>> import torch
    >>> round(float(softmax(torch.zeros(2, 10), torch.tensor([3, 4]))), 4)
    2.3026
    """
    return cross_entropy(outputs, targets)


def hinge(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the multiclass hinge loss ``mean_i sum_{j != y} max(0, s_ij - s_iy + 1)``.

    Its gradient is 0 where a margin is exactly 0. torch's ``MultiMarginLoss`` also divides by K.

    Args:
        outputs: scores s, [B, K].
        targets: labels y, int64 [B].

    Source: Crammer & Singer 2001 (margins), in the sum form of Weston & Watkins 1999.

    >>> import torch
    >>> float(hinge(torch.tensor([[1.0, 2.0, -3.0]]), torch.tensor([0])))
    2.0
    """
    label = targets.unsqueeze(-1)
    margins = outputs - outputs.gather(-1, label) + 1
    return margins.scatter(-1, label, 0.0).relu().sum(-1).mean()


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the share of rows whose largest score is the label's; a NaN score counts as wrong.

    Args:
        outputs: scores, [B, K].
        targets: labels, int64 [B].

    >>> import torch
    >>> float(accuracy(torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.tensor([1, 1])))
    0.5
    """
    right = (outputs.argmax(-1) == targets) & ~outputs.isnan().any(-1)
    return right.to(outputs.dtype).mean()


LOSSES: dict[str, Loss] = {"softmax": softmax, "hinge": hinge}
METRICS = ("accuracy", "loss")


def find_loss(loss: str | Loss, data: Data) -> tuple[str, Loss]:
    """Return the name and function of a loss.

    Raises:
        SettingError: the loss is unknown, or needs class labels that the data has not.
    """
    if callable(loss):
        return getattr(loss, "__name__", type(loss).__name__), loss
    if str(loss) not in LOSSES:
        raise unknown("loss", str(loss), LOSSES)
    _check_labels(f"loss {loss!r}", data)
    return loss, LOSSES[loss]


def find_score(metric: str | Loss | None, direction: str | None, loss: Loss, data: Data) -> Score:
    """Return the score of a problem; None is accuracy for class labels, else the loss.

    Raises:
        SettingError: the metric is unknown or does not fit the data, or its direction is missing
            or wrong.
    """
    if direction not in (None, "max", "min"):
        raise SettingError(f"direction must be 'max' or 'min', got {direction!r}")
    if callable(metric):
        if direction is None:
            raise SettingError(
                "direction must be given with a metric of your own: 'max' if higher is better,"
                " 'min' if lower is"
            )
        name = getattr(metric, "__name__", type(metric).__name__)
        return Score(name, metric, "max" if direction == "max" else "min")
    score = _built_in(metric, loss, data)
    if direction not in (None, score.direction):
        raise SettingError(
            f"direction of metric {score.name!r} must be {score.direction!r}, got {direction!r};"
            " leave it out"
        )
    return score


def _built_in(metric: str | None, loss: Loss, data: Data) -> Score:
    if metric is None:
        metric = "accuracy" if data.classes is not None else "loss"
    if str(metric) not in METRICS:
        raise unknown("metric", str(metric), METRICS)
    if metric == "loss":
        return Score("loss", loss, "min")
    _check_labels("metric 'accuracy'", data)
    return Score("accuracy", accuracy, "max", smallest_difference=0.005)


def _check_labels(what: str, data: Data) -> None:
    if data.classes is None:
        raise SettingError(
            f"{what} needs class labels, integers in 0..K-1; the targets of {data.name} are"
            f" {data.y.dtype} {tuple(data.y.shape)}; convert them to int64 labels, or give a loss"
            " (and metric) of your own"
        )
