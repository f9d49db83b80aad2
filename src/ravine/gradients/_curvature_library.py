"""The same products by curvlinops, for the losses it knows.

Source: Dangel et al. 2025, "Position: Curvature matrices should be democratized via linear
operators", arXiv:2501.19183.
"""

import warnings
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ravine.gradients._curvature_objective import Objective
from ravine.gradients._curvature_products import Product, load_forward_mode
from ravine.gradients._nested import mapped

_KNOWN = (nn.CrossEntropyLoss, nn.MSELoss, nn.BCEWithLogitsLoss)
_SAME: dict[Any, type[nn.Module]] = {
    functional.cross_entropy: nn.CrossEntropyLoss,
    functional.mse_loss: nn.MSELoss,
    functional.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
}


def library_product(here: Objective, matrix: str) -> Product | None:
    """Return curvlinops's product; None where it is not installed or does not know the case.

    Args:
        here: The point.
        matrix: ``"hessian"`` or ``"gauss-newton"``.
    """
    loss = _known_loss(here.loss)
    if loss is None or here.model is None or here.batch is None or not _fits(here):
        return None
    kind = _operators()[matrix]
    weights = [p for p in here.model.parameters() if p.requires_grad]
    batch = mapped(here.batch, torch.clone)  # which the model may write to
    # Its own check for randomness costs passes; `Objective` has made one already.
    operator = kind(here.model, loss, weights, [batch], check_deterministic=False)

    def product(v: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(operator @ list(v))

    return product


@cache
def _operators() -> dict[str, Any]:
    load_forward_mode()
    with warnings.catch_warnings():
        # A library that curvlinops imports uses torch.jit.script, which torch has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        import curvlinops  # noqa: PLC0415 - optional, and takes most of a second
    return {
        "hessian": curvlinops.HessianLinearOperator,
        "gauss-newton": curvlinops.GGNLinearOperator,
    }


def _known_loss(loss: Any) -> nn.Module | None:
    if type(loss) in _KNOWN:
        return loss if loss.reduction in ("mean", "sum") else None
    try:
        same = _SAME.get(loss)
    except TypeError:  # a loss that has no hash is none of these
        return None
    return None if same is None else same()


def _fits(here: Objective) -> bool:
    """Whether curvlinops sees what `Objective` sees: a batch of rows, and no changing buffers."""
    model, batch = here.model, here.batch
    if find_spec("curvlinops") is None or model is None or batch is None:
        return False
    changing = any(m.training and m._buffers for m in model.modules())
    shared = len(list(model.parameters())) < len(
        list(model.named_parameters(remove_duplicate=False))
    )
    return all(isinstance(part, torch.Tensor) for part in batch) and not (changing or shared)
