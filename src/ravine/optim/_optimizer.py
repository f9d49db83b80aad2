"""Rules as ``torch.optim.Optimizer``: groups, state and the choice between kernel and reference."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from ravine.core.errors import SettingError, unknown
from ravine.kernels import Kernel, addresses, kernel, lower, plan
from ravine.optim._launch import Group, Launch, launch
from ravine.optim._memory import alike, gradient, kernel_can, laid_out, wide
from ravine.rules import Rule, initial_state, reference_readout, reference_step


class RuleOptimizer(Optimizer):
    """An optimizer whose step is a rule; each group's settings choose which one.

    CPU parameters in float32 or float64 are updated by the compiled kernel, all tensors in one
    launch; any other device or dtype by the rule's reference step.

    Args:
        params: As in ``torch.optim.Optimizer``.
        defaults: Settings of groups that do not bring their own.
        rule_of: From a group to its rule.
        hypers_of: From a group to the rule's hyper-parameters by formula name.
        counted: Whether a parameter's state counts its steps. Where it does not, a step is the
            first, t = 1, when the state begins, and any later one is t = 2.
    """

    def __init__(
        self,
        params: Any,
        defaults: dict[str, Any],
        rule_of: Callable[[Group], Rule],
        hypers_of: Callable[[Group, Rule], Mapping[str, float]],
        *,
        counted: bool = True,
    ) -> None:
        self._rule_of = rule_of
        self._hypers_of = hypers_of
        self._counted = counted
        self._reading_out = False
        self._launches: dict[Rule, Launch] = {}
        super().__init__(params, defaults)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group, as in torch; its settings are checked here.

        Raises:
            SettingError: When a setting is unknown or out of bounds, or a parameter is complex.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            _check_settings(group, self.defaults)
            rule = self._rule_of(group)
            _check_hypers(rule, self._hypers_of(group, rule))
            if any(parameter.is_complex() for parameter in group["params"]):
                raise SettingError("parameters must be real, got a complex one; use view_as_real")
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

        Raises:
            RuntimeError: Inside `readout`, and when a gradient is sparse.
        """
        if self._reading_out:
            raise RuntimeError("step() must not be called inside readout(): leave its block first")
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

        Raises:
            RuntimeError: Inside another `readout` of this optimizer.
        """
        if self._reading_out:
            raise RuntimeError("readout() must not be nested: the weights are read out already")
        stored = []
        self._reading_out = True
        try:
            for parameter, rule, group in self._with_readout():
                stored.append((parameter, parameter.detach().clone()))
                self._read_out(parameter, rule, group)
            yield
        finally:
            self._reading_out = False
            with torch.no_grad():
                for parameter, weight in stored:
                    parameter.copy_(weight)

    def _with_readout(self) -> list[tuple[Tensor, Rule, Group]]:
        """Return the parameters that have begun a rule with a readout."""
        found = [(p, self._rule_of(g), g) for g in self.param_groups for p in g["params"]]
        return [(p, r, g) for p, r, g in found if r.readout is not None and self.state.get(p)]

    @torch.no_grad()
    def _read_out(self, parameter: Tensor, rule: Rule, group: Group) -> None:
        state = self.state[parameter]
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
        found = [(g, [p for p in g["params"] if p.grad is not None]) for g in groups]
        prepared = self._launches.get(rule)
        if prepared is not None and prepared.fits(found, self.state):
            prepared.step(self._hypers_of)
        elif any(parameters for _, parameters in found):
            self._first_step(rule, groups)

    def _first_step(self, rule: Rule, groups: Sequence[Group]) -> None:
        """Step after parameters, gradients or states have changed, and prepare those to come."""
        # All gradients are looked at before any state changes: one of them may be refused.
        found = [(p, gradient(p), g) for g in groups for p in g["params"] if p.grad is not None]
        hypers = {id(g): self._hypers_of(g, rule) for g in groups}
        leaves = [
            _Leaf(p, grad, *self._begin_step(rule, p, g), hypers[id(g)]) for p, grad, g in found
        ]
        parameters = [leaf.parameter for leaf in leaves]
        dtypes = {p.dtype for p in parameters}
        self._launches.pop(rule, None)
        if not all(map(kernel_can, parameters)):
            _run_reference(rule, leaves)
        elif len(dtypes) == 1:
            compiled = kernel(rule, dtypes.pop())
            _run_kernel(compiled, leaves)
            self._launches[rule] = self._launch(compiled, groups, leaves)
        elif _sums_over_member(rule):
            _run_reference(rule, leaves)
        else:
            for dtype in dtypes:
                _run_kernel(kernel(rule, dtype), [x for x in leaves if x.gradient.dtype == dtype])
        torch.autograd.graph.increment_version(parameters)

    def _launch(
        self, compiled: Kernel, groups: Sequence[Group], leaves: Sequence["_Leaf"]
    ) -> Launch:
        counts = [(g, sum(p.grad is not None for p in g["params"])) for g in groups]
        keys = [_key(compiled.rule, name) for name in compiled.rule.state]
        states = [self.state[leaf.parameter] for leaf in leaves] if keys or self._counted else []
        parameters = [leaf.parameter for leaf in leaves]
        return launch(compiled, counts, parameters, states, keys, counted=self._counted)

    def _begin_step(
        self, rule: Rule, parameter: Tensor, group: Group
    ) -> tuple[dict[str, Any], float]:
        """Return a parameter's state, in its memory layout, and the number of this step."""
        if not rule.state and not self._counted:
            return {}, 1.0
        state = self.state[parameter]
        keys = [_key(rule, name) for name in rule.state]
        begins = any(key not in state for key in keys)
        if begins or (self._counted and "step" not in state):
            self._begin(rule, parameter, group)
        for key in keys:
            # A checkpoint, or the model's move to another dtype or layout, may bring another.
            if not alike(state[key], parameter):
                state[key] = laid_out(state[key], parameter)
        if not self._counted:
            return state, 1.0 if begins else 2.0
        state["step"] += 1
        return state, float(state["step"])

    def _begin(self, rule: Rule, parameter: Tensor, group: Group) -> None:
        state = self.state[parameter]
        if self._counted and "step" not in state:
            double = torch.get_default_dtype() == torch.float64  # as in torch
            step_dtype = torch.float64 if double else torch.float32
            state["step"] = torch.zeros((), dtype=step_dtype, device="cpu")
        start = initial_state(rule, parameter, self._hypers_of(group, rule))
        for name in rule.state:
            state.setdefault(_key(rule, name), start[name])

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {
            "_rule_of": self._rule_of,
            "_hypers_of": self._hypers_of,
            "_counted": self._counted,
            "_reading_out": False,
            "_launches": {},
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # an older checkpoint may lack a setting
            for name, default in self.defaults.items():
                group.setdefault(name, default)


class _Leaf(NamedTuple):
    """One parameter in one step."""

    parameter: Tensor
    gradient: Tensor
    state: dict[str, Any]
    t: float
    hypers: Mapping[str, float]


def _run_kernel(compiled: Kernel, leaves: Sequence[_Leaf]) -> None:
    rule = compiled.rule
    columns = [[leaf.state[_key(rule, name)] for leaf in leaves] for name in rule.state]
    parameters = [leaf.parameter for leaf in leaves]
    table = np.array([[leaf.t, *(leaf.hypers[n] for n in rule.hypers)] for leaf in leaves])
    pieces = [(i, 0, p.numel(), i) for i, p in enumerate(parameters)]
    tensors = addresses([parameters, [leaf.gradient for leaf in leaves], *columns])
    compiled(tensors, table, plan(compiled, pieces, [0] * len(parameters)))


def _run_reference(rule: Rule, leaves: Sequence[_Leaf]) -> None:
    states = [{name: leaf.state[_key(rule, name)] for name in rule.state} for leaf in leaves]
    weights, new = reference_step(
        rule,
        [wide(leaf.parameter) for leaf in leaves],
        [wide(leaf.gradient) for leaf in leaves],
        [{name: wide(value) for name, value in state.items()} for state in states],
        [leaf.t for leaf in leaves],
        [leaf.hypers for leaf in leaves],
    )
    for leaf, weight, old, fresh in zip(leaves, weights, states, new, strict=True):
        leaf.parameter.copy_(weight)
        for name in rule.state:
            old[name].copy_(fresh[name])


def _key(rule: Rule, name: str) -> str:
    return rule.state_aliases.get(name, name)


def _sums_over_member(rule: Rule) -> bool:
    return "member" in lower(rule).sums.values()


def _check_settings(group: Group, defaults: Mapping[str, Any]) -> None:
    for name, value in group.items():
        if name not in (*defaults, "params", "param_names", "initial_lr"):
            raise unknown("setting of a parameter group", name, defaults)
        if isinstance(value, str):  # float() would read it
            raise SettingError(f"{name} must be a number, got {value!r}")
        if isinstance(value, Tensor) and value.numel() != 1:
            raise SettingError(f"{name} must be one number, got shape {tuple(value.shape)}")


def _check_hypers(rule: Rule, hypers: Mapping[str, float]) -> None:
    # A schedule may bring a rate to 0, as in torch; a comparison may not ask for it.
    bounds = {**rule.bounds, "lr": replace(rule.bounds["lr"], closed_low=True)}
    given = {rule.aliases.get(n, n) if n != "lr" else n: v for n, v in hypers.items()}
    replace(rule, bounds=bounds).check(given)
