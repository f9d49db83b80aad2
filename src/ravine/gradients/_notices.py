"""What else to know about a model that is checked: gradients which the check does not see."""

from collections.abc import Iterator

from torch import nn

from ravine.gradients._analytic import Analytic
from ravine.gradients._causes import hooked, reads_original
from ravine.gradients._unregistered import unregistered


def notices_of(model: nn.Module, analytic: Analytic) -> Iterator[str]:
    """Yield a sentence for everything that takes part in training but not in a check.

    Args:
        model: The caller's.
        analytic: Gradients of its copy.
    """
    if reads_original(model, analytic.nodes):
        yield (
            "the loss reads parameters of the model itself rather than its outputs; that part"
            " is held constant, since the check works on a copy; return it from the model"
        )
    lost = unregistered(model)
    if lost:
        yield (
            f"{lost[0]} holds tensors with gradients that the model does not register, as in a"
            " plain list or dict: no optimizer gets them, and they are not checked; use"
            " nn.Parameter, nn.ParameterList, nn.ModuleList or their dicts"
        )
    names = hooked(model)
    if names:
        others = f", and {len(names) - 1} more" if len(names) > 1 else ""
        yield (
            "hooks on parameters change gradients after what is checked here;"
            f" {names[0]} has one{others}"
        )
