"""The compiled kernel, stepped over the weights of one or more models."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ravine.kernels import Kernel, addresses, plan

Model = Sequence[Tensor]
States = Sequence[dict[str, Tensor]]


class KernelStep:
    """One launch per step over models of equal shapes, stacked as a population's members are.

    Args:
        compiled: The kernel.
        shapes: Shape of each weight tensor of one model.
        models: How many models.
    """

    def __init__(self, compiled: Kernel, shapes: Sequence[torch.Size], models: int = 1) -> None:
        self.compiled = compiled
        self.plan = plan(compiled, shapes, range(models))

    def __call__(
        self,
        weights: Sequence[Model],
        gradients: Sequence[Model],
        states: Sequence[States],
        t: int,
        hypers: Sequence[Mapping[str, float]],
    ) -> None:
        """Update weights and states of every model in place.

        Args:
            weights: Weight tensors per model.
            gradients: Their gradients.
            states: States and scalars per model and tensor.
            t: Number of this step, from 1.
            hypers: Hyper-parameters per model, ``lr`` among them.
        """
        rule = self.compiled.rule
        kept = [[[slot[name] for slot in model] for model in states] for name in rule.state]
        columns = [weights, gradients, *kept]
        stacks = [[torch.stack(list(x)) for x in zip(*column, strict=True)] for column in columns]
        owners = [(int(model), int(tensor)) for model, tensor in self.plan.rows]
        rows = np.array([[t, *(hypers[m][n] for n in rule.hypers)] for m, _ in owners], np.float64)
        scalars = np.array([[float(states[m][j][n]) for n in rule.scalars] for m, j in owners])
        scalars = scalars.reshape(len(owners), -1).astype(np.float64)
        self.compiled(addresses(stacks), rows, scalars, self.plan)
        for (m, j), row in zip(owners, scalars, strict=True):
            for name, value in zip(rule.scalars, row, strict=True):
                states[m][j][name] = torch.tensor(value, dtype=torch.float64)
        for column, stacked in zip(columns, stacks, strict=True):
            for m, model in enumerate(column):
                for tensor, stack in zip(model, stacked, strict=True):
                    tensor.copy_(stack[m])
