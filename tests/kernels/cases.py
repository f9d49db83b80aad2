"""What rule tests run: rules with modifiers, hard settings, and one step through a kernel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ravine.kernels import Kernel, addresses, plan
from ravine.rules import Rule, all_rules, initial_state, modifiers, reference_step

# Away from the defaults, so that a term that is dropped or misplaced shows.
HARD = {
    "dampening": 0.3,
    "lr_decay": 0.05,
    "initial_accumulator_value": 0.2,
    "initial_velocity": 0.05,
    "eps": 1e-4,
    "weight_decay": 0.1,
    "max_norm": 0.7,
}
STEPS = 100

SMALL = [(3, 5), (), (0,), (17,)]
# A tensor longer than a chunk of 32 Ki, one that ends on its border, a scalar and an empty one.
SHAPES = [(3, 5), (32 * 1024 + 77,), (), (0,), (32 * 1024,)]

DECAYED = ("weight_decay", "maximize")
CLIPPED = ("decoupled_weight_decay", "maximize", "clip_global_norm")


def name(rule: Rule) -> str:
    """Return a test's name for a rule."""
    return f"{rule.name}@{rule.convention}"


def formulas() -> list[Rule]:
    """Return the rules with a formula of their own: no variant that only renames or redefaults."""
    functions: dict[int, Rule] = {}
    for rule in all_rules():
        functions.setdefault(id(rule.function), rule)
    return list(functions.values())


def modified(rule: Rule, *names: str) -> Rule:
    """Apply modifiers, the first one innermost; a decay that the rule has is left out."""
    for chosen in names:
        if not (chosen.endswith("weight_decay") and "weight_decay" in rule.hypers):
            rule = getattr(modifiers, chosen)(rule)
    return rule


def hard(rule: Rule) -> dict[str, float]:
    """Return hyper-parameters away from the defaults."""
    return rule.check({n: v for n, v in HARD.items() if n in rule.hypers} | {"lr": 0.03})


def rates(lr: float, steps: int = STEPS) -> list[float]:
    """Return a rate per step: a cosine, which ends near 0."""
    return [0.5 * lr * (1 + np.cos(np.pi * k / steps)) for k in range(steps)]


def gradients(rng: np.random.Generator, weights: Sequence[Tensor]) -> list[Tensor]:
    """Return gradients whose size changes by orders of magnitude from tensor to tensor."""
    return [
        torch.from_numpy(np.asarray(rng.normal(size=w.shape) * 10.0 ** rng.uniform(-3, 1))).to(w)
        for w in weights
    ]


@dataclass
class Model:
    """Weights of one model with their states; `rows` holds hyper-parameters per tensor."""

    rule: Rule
    weights: list[Tensor]
    states: list[dict[str, Tensor]]
    rows: list[dict[str, float]]

    @classmethod
    def random(
        cls,
        rule: Rule,
        rng: np.random.Generator,
        shapes: Sequence[tuple[int, ...]],
        dtype: torch.dtype,
        rows: Sequence[Mapping[str, float]],
    ) -> "Model":
        """Return random weights and the states that a rule starts with."""
        weights = [torch.from_numpy(np.asarray(rng.normal(size=s))).to(dtype) for s in shapes]
        states = [initial_state(rule, w, row) for w, row in zip(weights, rows, strict=True)]
        return cls(rule, weights, states, [dict(row) for row in rows])

    def copy(self) -> "Model":
        """Return a copy that shares no memory."""
        return Model(
            self.rule,
            [w.clone() for w in self.weights],
            [{n: v.clone() for n, v in s.items()} for s in self.states],
            [dict(row) for row in self.rows],
        )

    def arrays(self) -> dict[str, list[np.ndarray]]:
        """Return weights, states and scalars by name, as arrays that share their memory."""
        found = {"w": [w.numpy() for w in self.weights]}
        return found | {n: [s[n].numpy() for s in self.states] for n in self.rule.kept}


def kernel_step(
    compiled: Kernel,
    models: Sequence[Model],
    grads: Sequence[Sequence[Tensor]],
    steps: Sequence[int],
) -> None:
    """Run one kernel launch over all tensors of all models, each tensor with its own row.

    The models are stacked, as a population's members are; one model runs where it lies.
    """
    rule = compiled.rule
    columns = [
        [model.weights for model in models],
        grads,
        *([[state[n] for state in model.states] for model in models] for n in rule.state),
    ]
    stacks = [[_stack(tensors) for tensors in zip(*column, strict=True)] for column in columns]
    pieces = plan(compiled, [w.shape for w in models[0].weights], range(len(models)))
    owners = [(models[slot], tensor, steps[slot]) for slot, tensor in pieces.rows]
    rows = [[step, *(m.rows[j][n] for n in rule.hypers)] for m, j, step in owners]
    kept = [[float(m.states[j][n]) for n in rule.scalars] for m, j, _ in owners]
    scalars = np.array(kept, dtype=np.float64).reshape(len(rows), -1)
    compiled(addresses(stacks), np.array(rows, dtype=np.float64), scalars, pieces)
    for (model, j, _), values in zip(owners, scalars, strict=True):
        model.states[j] |= {
            n: torch.tensor(v, dtype=torch.float64)
            for n, v in zip(rule.scalars, values, strict=True)
        }
    for column, stacked in zip(columns, stacks, strict=True):
        for k, tensors in enumerate(column):
            for tensor, stack in zip(tensors, stacked, strict=True):
                tensor.copy_(stack[k] if len(models) > 1 else stack)


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)) if len(tensors) > 1 else tensors[0]


def rows_for(rule: Rule, count: int) -> list[dict[str, float]]:
    """Return different rates, decays and norms per tensor."""
    base = hard(rule)
    factors = [1.0, 0.5, 2.0, 0.7, 1.3][:count]
    changing = [n for n in ("lr", "weight_decay", "eps") if n in base]
    return [base | {n: base[n] * factor for n in changing} for factor in factors]


def reference(model: Model, grads: list[torch.Tensor], step: int) -> None:
    """Step a model by the formula itself."""
    model.weights, model.states = reference_step(
        model.rule, model.weights, grads, model.states, [step] * len(grads), model.rows
    )


def assert_close(ours: Model, theirs: Model, tolerance: float) -> None:
    """Compare weights and states, relative to the largest entry of each tensor."""
    for (n, mine), other in zip(ours.arrays().items(), theirs.arrays().values(), strict=True):
        for a, b in zip(mine, other, strict=True):
            scale = np.max(np.abs(b), initial=0.0)
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=n)
