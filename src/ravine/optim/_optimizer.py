"""Rules as ``torch.optim.Optimizer``: groups, state, and a step by prepared launches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from ravine.optim._asked import Asked, Asking
from ravine.optim._by_name import matched_by_name
from ravine.optim._gpu_launch import GpuLaunch, gpu_can
from ravine.optim._groups import (
    Group,
    check_hypers,
    check_names,
    check_parameters,
    check_tuples,
    check_values,
    hypers_of,
)
from ravine.optim._launch import Launch, launch
from ravine.optim._live import readable
from ravine.optim._loading import (
    as_loaded,
    check_rule_states,
    load,
    paired,
    precision_of,
    restore,
    set_state,
)
from ravine.optim._long_way import Leaf, run
from ravine.optim._memory import gradient
from ravine.optim._precision import PRECISION, check_precision
from ravine.optim._precision_state import unsettle
from ravine.optim._precision_steps import CodedSteps
from ravine.optim._readout import put_back, read_out
from ravine.optim._states import begin, begin_step, share_member_scalars
from ravine.optim._torch_rules import check_direction
from ravine.rules import Rule, ascent_rule


class RuleOptimizer(Optimizer):
    """An optimizer whose step is a rule; each group's settings choose which one.

    CPU parameters in float32 or float64 are updated by the compiled kernel, all tensors in one
    launch; those of one dtype on one CUDA device, after their first step, by Triton's kernels,
    where Triton is installed; any others by the rule's reference step.

    Args:
        params: As in ``torch.optim.Optimizer``.
        defaults: Settings of groups that do not bring their own.
        rule_of: From a group to its rule. It is asked again whenever a setting has changed, but
            not for ``lr``.
        counted: Whether a parameter's state counts its steps. Where it does not, a step is the
            first, t = 1, when the state begins, and any later one is t = 2.
    """

    def __init__(
        self,
        params: Any,
        defaults: dict[str, Any],
        rule_of: Callable[[Group], Rule],
        *,
        counted: bool = True,
    ) -> None:
        self._rule_of = rule_of
        self._asked = Asked(rule_of)
        self._counted = counted
        self._reading_out = False
        self._launches: dict[Rule, Launch | GpuLaunch] = {}
        self._coded = CodedSteps(counted)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group, as in torch; its settings are checked here.

        Raises:
            SettingError: When a setting is unknown or out of bounds, or a parameter is complex,
                sparse or a wrapper without memory of its own.
        """
        super().add_param_group(param_group)
        try:
            self._check(self.param_groups[-1])
        except Exception:
            self.param_groups.pop()
            raise

    def _check(self, group: Group) -> None:
        check_names(group, (*self.defaults, *PRECISION))
        check_direction(group)
        check_values({n: group[n] for n in self.defaults if n not in (*PRECISION, "maximize")})
        rule = self._rule_of(group)
        check_precision(rule, group)
        check_tuples(rule, group)
        check_hypers(rule, hypers_of(group, rule), group)
        check_parameters(group)

    def state_dict(self) -> dict[str, Any]:
        """Return a checkpoint, as in torch.

        Raises:
            RuntimeError: Inside `readout`: weights saved there would go on from the wrong point.
        """
        self._refuse_in_readout("state_dict()")
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a checkpoint, of torch's class of the same name, too.

        Where parameters have names here and there, states are matched by name. Hooks that adapt
        the checkpoint run first. Settings that it lacks get the defaults. How weights and states
        are stored is this optimizer's choice: states that were stored otherwise are brought into
        it. What is refused changes nothing.

        Raises:
            RuntimeError: Inside `readout`.
            SettingError: When names differ from the optimizer's, or a setting is refused.
        """
        self._refuse_in_readout("load_state_dict()")
        own = [precision_of(group) for group in self.param_groups]
        saved = load(self, state_dict, self._adapted)
        for group, kept, loaded in zip(self.param_groups, own, saved["param_groups"], strict=True):
            restore(self.state, group, kept, loaded["params"], saved["state"])

    def _adapted(self, saved: dict[str, Any]) -> dict[str, Any]:
        matched = matched_by_name(self.param_groups, saved)
        for own, group in paired(self.param_groups, matched):
            loaded = as_loaded(self.defaults, own, group)
            self._check(loaded)
            check_rule_states(self._rule_of(loaded), own, group, matched)
        return matched

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: Evaluates the model again and returns the loss. A rule that takes a second
                gradient needs it, and calls it twice.

        Returns:
            What the closure returned first, or None.

        Raises:
            RuntimeError: Inside `readout`, when a gradient is sparse, and when a rule needs a
                closure and gets none.
        """
        # torch would wrap this method to record it and to call hooks: 20 microseconds at each step.
        if _is_observed(self):
            return _observed_step(self, closure)
        return self._step(closure)

    step.hooked = True  # type: ignore[attr-defined]  # tells torch not to wrap it

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        self._refuse_in_readout("step()")
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        asked = self._asked.by(self.param_groups)
        if any(asking.rule.ascent is not None for asking in asked):
            self._ascend(asked, closure)
        for asking in asked:
            self._step_rule(asking)
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
                read_out(parameter, rule, group, self.state[parameter])
            yield
        finally:
            self._reading_out = False
            put_back(stored)

    def _refuse_in_readout(self, call: str) -> None:
        if self._reading_out:
            raise RuntimeError(
                f"{call} must not be called inside readout(): leave its block first. Weights to"
                " evaluate are saved inside it; those to train on from, and the optimizer, outside"
            )

    def _with_readout(self) -> list[tuple[Tensor, Rule, Group]]:
        """Return the parameters that have begun a rule with a readout."""
        found = [(p, self._rule_of(g), g) for g in self.param_groups for p in g["params"]]
        return [(p, r, g) for p, r, g in found if r.readout is not None and self.state.get(p)]

    def _ascend(self, asked: list[Asking], closure: Callable[[], Any] | None) -> None:
        """Replace gradients by those at the point to which the rules ascend."""
        if closure is None:
            raise RuntimeError(
                "step() must get a closure: this rule takes a second gradient, for which the model"
                " is evaluated again"
            )
        # One ascent for all groups, since its norm is over all parameters; what it does not read
        # takes the first rule's default where a group's own rule lacks it.
        first = next(asking.rule for asking in asked if asking.rule.ascent is not None)
        leaves = [
            Leaf(p, gradient(p), {}, 1.0, {**first.hypers, **hypers_of(group, rule)})
            for rule, groups, _ in asked
            for group in groups
            for p in group["params"]
            if p.grad is not None
        ]
        stored = [(leaf.parameter, leaf.parameter.detach().clone()) for leaf in leaves]
        try:
            run(ascent_rule(first), leaves)
            with torch.enable_grad():
                closure()
        finally:
            put_back(stored)

    def _step_rule(self, asking: Asking) -> None:
        rule, groups, plain = asking
        prepared = self._launches.get(rule)
        # What was prepared has no weights or states in few bits.
        if plain and prepared is not None and prepared.step(groups, self.state):
            return
        groups = self._coded.step(rule, groups, self.param_groups, self.state)
        if not groups:
            if prepared is not None:  # it holds on to states from before
                del self._launches[rule]
        elif prepared is None or not prepared.step(groups, self.state):
            self._first_step(rule, groups)

    def _first_step(self, rule: Rule, groups: list[Group]) -> None:
        """Step after parameters, gradients or states have changed, and prepare those to come."""
        self._launches.pop(rule, None)
        # All gradients are looked at before any state changes: one of them may be refused.
        found = [(p, gradient(p), g) for g in groups for p in g["params"] if p.grad is not None]
        if not found:
            return
        hypers = {id(g): hypers_of(g, rule) for g in groups}
        every = [p for g in groups for p in g["params"]]
        share_member_scalars(self.state, rule, every)
        leaves = []
        for p, grad, g in found:
            unsettle(rule, self.state, p)
            state, t = begin_step(self.state, rule, p, hypers[id(g)], counted=self._counted)
            leaves.append(Leaf(p, grad, state, t, hypers[id(g)]))
        compiled = run(rule, leaves)
        torch.autograd.graph.increment_version([leaf.parameter for leaf in leaves])
        if compiled is not None and readable(every):
            self._launches[rule] = launch(
                compiled, groups, leaves, self.state, counted=self._counted
            )
        elif gpu_can(rule, leaves):
            self._launches[rule] = GpuLaunch(
                rule, groups, leaves, self.state, counted=self._counted
            )
        share_member_scalars(self.state, rule, every)

    def _begin(self, group: Group) -> None:
        """Begin the states of a group's parameters before their first step."""
        rule = self._rule_of(group)
        for parameter in group["params"]:
            hypers = hypers_of(group, rule)
            begin(self.state, rule, parameter, hypers, counted=self._counted)

    def __getstate__(self) -> dict[str, Any]:
        self._refuse_in_readout("copy and pickle")
        return super().__getstate__() | {
            "_rule_of": self._rule_of,
            "_asked": Asked(self._rule_of),
            "_counted": self._counted,
            "_reading_out": False,
            "_launches": {},
            "_coded": CodedSteps(self._counted),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        set_state(self, state)


def _is_observed(optimizer: RuleOptimizer) -> bool:
    """Whether a hook or a profiler wants to know of a step."""
    return bool(
        optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or _global_optimizer_pre_hooks
        or _global_optimizer_post_hooks
        or torch.autograd._profiler_enabled()
    )


_observed_step = Optimizer.profile_hook_step(RuleOptimizer._step)
