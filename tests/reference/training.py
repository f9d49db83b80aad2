"""One training as a plain sequential loop: what a member of a population must equal."""

from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tests.reference.rules import Oracle


class Trained(NamedTuple):
    """Weights and buffers after the last step, and the loss of every batch."""

    parameters: dict[str, np.ndarray]
    buffers: dict[str, np.ndarray]
    losses: np.ndarray


def train_member(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    order: np.ndarray,
    rule_step: Oracle,
    lr_of_step: Callable[[int], float],
    loss: Callable[[Tensor, Tensor], Tensor],
) -> Trained:
    """Train a float64 copy of one module, in train mode, and return where it ends.

    Args:
        model: the initial weights; left as it is.
        x: inputs [N, ...], normalised by the caller.
        y: targets [N, ...].
        order: rows of each batch [steps, B].
        rule_step: a fresh oracle rule.
        lr_of_step: learning rate of step 0, 1, ...
        loss: mean over a batch, of outputs and targets.
    """
    model = deepcopy(model).double().train()
    parameters = list(model.parameters())
    weights = [p.detach().numpy().copy() for p in parameters]
    losses = np.empty(len(order))
    for k, rows in enumerate(torch.from_numpy(np.asarray(order))):
        _put(parameters, rule_step.query(weights))
        value = loss(model(x[rows].double()), y[rows])
        grads = [g.numpy() for g in torch.autograd.grad(value, parameters)]
        weights = rule_step.step(weights, grads, lr_of_step(k))
        losses[k] = value.item()
    _put(parameters, weights)
    return Trained(_arrays(model.named_parameters()), _arrays(model.named_buffers()), losses)


def _put(parameters, values) -> None:
    with torch.no_grad():
        for p, value in zip(parameters, values, strict=True):
            p.copy_(torch.from_numpy(value))


def _arrays(named) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy().copy() for name, tensor in named}
