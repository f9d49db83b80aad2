"""Rules as ``torch.optim.Optimizer``: groups, state and the choice between kernel and reference."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from ravine.kernels import DTYPES, Plan, addresses, kernel, lower, plan
from ravine.rules import Rule, initial_state, reference_readout, reference_step

Group = dict[str, Any]


class RuleOptimizer(Optimizer):
    """An optimizer whose step is a rule; each group's settings choose which one.

    CPU parameters in float32 or float64 are updated by the compiled kernel, all tensors in one
    launch; any other device or dtype by the rule's reference step.

    Args:
        params: As in ``torch.optim.Optimizer``.
        defaults: Settings of groups that do not bring their own.
        rule_of: From a group to its rule.
        hypers_of: From a group to the rule's hyper-parameters by formula name.
    """

    def __init__(
        self,
        params: Any,
        defaults: dict[str, Any],
        rule_of: Callable[[Group], Rule],
        hypers_of: Callable[[Group, Rule], Mapping[str, float]],
    ) -> None:
        self._rule_of = rule_of
        self._hypers_of = hypers_of
        self._plans: dict[Any, Plan] = {}
        super().__init__(params, defaults)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group, as in torch; its settings are checked here."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            rule = self._rule_of(group)
            _checked(rule, self._hypers_of(group, rule))
            for parameter in group["params"]:
                if parameter.is_complex():
                    raise ValueError("complex parameters are not supported; use view_as_real")
        except Exception:
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: Evaluates the model again and returns the loss.

        Returns:
            What the closure returned, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for rule, groups in self._groups_by_rule().items():
            self._step_rule(rule, groups)
        return loss

    @contextmanager
    def readout(self) -> Iterator[None]:
        """Hold the weights to evaluate in the parameters while the block runs.

        The stored point, at which gradients are taken, is put back at the end. For most rules
        the two are the same.
        """
        stored = []
        for group in self.param_groups:
            rule = self._rule_of(group)
            for parameter in group["params"] if rule.readout else []:
                stored.append((parameter, parameter.detach().clone()))
                self._read_out(parameter, rule, group)
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, weight in stored:
                    parameter.copy_(weight)

    @torch.no_grad()
    def _read_out(self, parameter: Tensor, rule: Rule, group: Group) -> None:
        state = self.state[parameter]
        if state:
            named = {name: state[_key(rule, name)] for name in rule.state}
            hypers = self._hypers_of(group, rule)
            weight = reference_readout(rule, parameter, named, float(state["step"]), hypers)
            parameter.copy_(weight)

    def _groups_by_rule(self) -> dict[Rule, list[Group]]:
        found: dict[Rule, list[Group]] = {}
        for group in self.param_groups:
            found.setdefault(self._rule_of(group), []).append(group)
        return found

    def _step_rule(self, rule: Rule, groups: Sequence[Group]) -> None:
        pairs = [(p, g) for g in groups for p in g["params"] if p.grad is not None]
        if not pairs:
            return
        parameters = [p for p, _ in pairs]
        gradients = [_gradient(p) for p in parameters]
        states = [self._state_of(rule, p, g) for p, g in pairs]
        hypers = {id(g): self._hypers_of(g, rule) for g in groups}
        for state in states:
            state["step"] += 1
        steps = [float(state["step"]) for state in states]
        rows = [hypers[id(g)] for _, g in pairs]
        by_dtype: dict[torch.dtype, list[int]] = {}
        if all(_kernel_can(p) for p in parameters):
            for i, p in enumerate(parameters):
                by_dtype.setdefault(p.dtype, []).append(i)
        if len(by_dtype) == 1 or (by_dtype and not _sums_over_member(rule)):
            for dtype, chosen in by_dtype.items():
                some = [[items[i] for i in chosen] for items in (parameters, gradients, states)]
                table = [[steps[i], *(rows[i][n] for n in rule.hypers)] for i in chosen]
                self._run_kernel(rule, dtype, some[0], some[1], some[2], np.array(table))
        else:
            _run_reference(rule, parameters, gradients, states, steps, rows)
        torch.autograd.graph.increment_version(parameters)

    def _state_of(self, rule: Rule, parameter: Tensor, group: Group) -> dict[str, Any]:
        state = self.state[parameter]
        if "step" not in state:
            # torch's SGD keeps no step: a velocity loaded from it has made at least one.
            state["step"] = torch.tensor(1.0 if state else 0.0)
        if any(_key(rule, name) not in state for name in rule.state):
            start = initial_state(rule, parameter, self._hypers_of(group, rule))
            for name in rule.state:
                state.setdefault(_key(rule, name), start[name])
        return state

    def _run_kernel(
        self,
        rule: Rule,
        dtype: torch.dtype,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        states: Sequence[dict[str, Any]],
        table: Any,
    ) -> None:
        compiled = kernel(rule, dtype)
        columns = [[state[_key(rule, name)] for state in states] for name in rule.state]
        sizes = tuple(p.numel() for p in parameters)
        if (rule, sizes) not in self._plans:
            pieces = [(i, 0, size, i) for i, size in enumerate(sizes)]
            self._plans[rule, sizes] = plan(compiled, pieces, [0] * len(sizes))
        compiled(addresses([parameters, gradients, *columns]), table, self._plans[rule, sizes])

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {
            "_rule_of": self._rule_of,
            "_hypers_of": self._hypers_of,
            "_plans": {},
        }


def _run_reference(
    rule: Rule,
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    states: Sequence[dict[str, Any]],
    steps: Sequence[float],
    rows: Sequence[Mapping[str, float]],
) -> None:
    named = [{name: state[_key(rule, name)] for name in rule.state} for state in states]
    weights, new = reference_step(rule, parameters, gradients, named, steps, rows)
    for parameter, weight, old, fresh in zip(parameters, weights, named, new, strict=True):
        parameter.copy_(weight)
        for name in rule.state:
            old[name].copy_(fresh[name])


def _key(rule: Rule, name: str) -> str:
    return rule.state_aliases.get(name, name)


def _sums_over_member(rule: Rule) -> bool:
    return "member" in lower(rule).sums.values()


def _checked(rule: Rule, hypers: Mapping[str, float]) -> None:
    # A schedule may bring a rate to 0, as in torch; a comparison may not ask for it.
    positive = {n: v for n, v in hypers.items() if not (n == "lr" and v == 0)}
    rule.check(positive)


def _kernel_can(parameter: Tensor) -> bool:
    return (
        parameter.device.type == "cpu"
        and parameter.dtype in DTYPES
        and type(parameter) in (Tensor, torch.nn.Parameter)
        and torch.ops.aten.is_non_overlapping_and_dense(parameter)
    )


def _gradient(parameter: Tensor) -> Tensor:
    """Return the gradient in the parameter's memory layout."""
    gradient = parameter.grad
    assert gradient is not None
    if gradient.is_sparse:
        raise RuntimeError(
            "sparse gradients are not supported; use dense ones or torch's SparseAdam"
        )
    if gradient.stride() != parameter.stride() or gradient.dtype != parameter.dtype:
        return torch.empty_like(parameter).copy_(gradient)
    return gradient
