"""One optimizer for a whole network: Muon for hidden matrices, AdamW for everything else."""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ravine.core.errors import SettingError
from ravine.optim._adam import AdamW
from ravine.optim._by_name import matched_by_name
from ravine.optim._groups import Group, check_names, check_parameters
from ravine.optim._loaded_state import check_state, saved_states
from ravine.optim._loading import (
    as_loaded,
    check_rule_states,
    load,
    paired,
    precision_of,
    restore,
)
from ravine.optim._matrix_checks import check_choice
from ravine.optim._memory import gradient
from ravine.optim._muon import NS_COEFFICIENTS, check_muon, muon_keeps, muon_update
from ravine.optim._muon_routes import muon_groups
from ravine.optim._precision import PRECISION
from ravine.optim._torch_rules import adam_rule

_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


@final
class MuonWithAdamW(Optimizer):
    r"""Muon for hidden matrices and AdamW for everything else, in one optimizer.

    .. math:: W \leftarrow \begin{cases} \mathrm{Muon}(W, G) & W \text{ a hidden matrix} \\
        \mathrm{AdamW}(W, G) & \text{otherwise} \end{cases}

    Of a model or its named parameters, `muon_groups` decides which weights are which. Groups may
    be given instead: each sets ``use_muon`` and has the settings of its half, ``lr`` among
    them. AdamW's half runs in Ravine's compiled kernel; its groups take the settings of `AdamW`,
    those of storage (``state_dtype``, ``param_rounding``, ``rounding_seed``) among them. Muon's
    momentum is kept in the dtype of the weights.

    Schedules of rates work as in torch. torch's ``OneCycleLR`` and ``CyclicLR`` cycle one
    setting of the same name in every group, and the halves have none in common (``momentum``
    and ``betas``): give them ``cycle_momentum=False``, or use ``ravine.schedules.TorchSchedule``
    with `one_cycle`, which cycles each half's own.

    The formulas are those of `Muon` and `AdamW`, the defaults those of the authors'
    ``MuonWithAuxAdam``. Departures from it: kernels are scaled by the shape of their flattened
    matrix (the authors use the kernel's height and width, which makes the scale 1), a parameter
    without gradient is left alone, not treated as if its gradient were 0, and a norm is bounded
    by eps, not increased by it.

    Args:
        params: A model, its ``named_parameters()``, or groups that set ``use_muon``.
        lr: Learning rate of Muon, >= 0.
        weight_decay: Decoupled decay of Muon, >= 0.
        momentum: Share of Muon's running mean kept per step, >= 0.
        nesterov: Look ahead along Muon's momentum.
        ns_coefficients, eps, ns_steps, adjust_lr_fn: As in `Muon`.
        ns_dtype: What orthogonalisation computes in: ``"bfloat16"``, as published,
            ``"float32"`` or ``"float64"``.
        flatten_convolutions: Whether Muon takes kernels, one row per output channel; where
            groups are given, they decide.
        adamw_lr: Learning rate of AdamW, >= 0.
        adamw_betas: Shares of the running mean and mean square kept per step, in [0, 1).
        adamw_eps: Added to AdamW's root, >= 0.
        adamw_weight_decay: Decoupled decay of AdamW, >= 0.
        adamw_state_dtype: How AdamW's states are stored: ``"float32"``, ``"bfloat16"``,
            ``"int8"``, or None for the dtype of the weights.

    Raises:
        SettingError: When a setting is unknown or out of bounds, parameters come without names
            and without ``use_muon``, or Muon is given fewer than two dimensions.

    >>> model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    >>> optimizer = MuonWithAdamW(model, lr=0.02, adamw_lr=1e-3)
    >>> [(group["use_muon"], group["lr"]) for group in optimizer.param_groups]
    [(True, 0.02), (False, 0.001)]

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 0.02,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = NS_COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        ns_dtype: str = "bfloat16",
        flatten_convolutions: bool = True,
        adamw_lr: float | Tensor = 3e-4,
        adamw_betas: tuple[float, float] = (0.9, 0.95),
        adamw_eps: float = 1e-10,
        adamw_weight_decay: float = 0.0,
        adamw_state_dtype: str | None = None,
    ) -> None:
        self._muon_settings = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
            "ns_dtype": ns_dtype,
        }
        self._adamw_settings = AdamW([{"params": []}]).defaults | {
            "lr": adamw_lr,
            "betas": adamw_betas,
            "eps": adamw_eps,
            "weight_decay": adamw_weight_decay,
        }
        if adamw_state_dtype is not None:
            self._adamw_settings["state_dtype"] = adamw_state_dtype
        super().__init__(_as_groups(params, flatten_convolutions), {})

    def add_param_group(self, param_group: Group) -> None:
        """Add a group, as in torch; it must set ``use_muon``.

        Raises:
            SettingError: When a setting is missing, unknown or out of bounds.
        """
        super().add_param_group(self._completed(param_group))
        try:
            self._check(self.param_groups[-1])
        except Exception:
            self.param_groups.pop()
            raise

    def _completed(self, group: Group) -> Group:
        """Return a group with the defaults of its half."""
        if not isinstance(group.get("use_muon"), bool):
            raise SettingError(
                "use_muon of a parameter group must be True or False, got"
                f" {group.get('use_muon')!r}; or give the model instead of groups"
            )
        if group["use_muon"]:
            defaults, known = self._muon_settings, ["use_muon"]
            _check_plain(group)
        else:
            defaults, known = self._adamw_settings, ["use_muon", *PRECISION]
        check_names(group, [*defaults, *known])
        return {**defaults, **group}

    def _check(self, group: Group) -> None:
        check_parameters(group)
        if not group["use_muon"]:
            names = {*self._adamw_settings, *PRECISION} - {"decoupled_weight_decay"}
            settings = {name: group[name] for name in names if name in group}
            AdamW([{"params": group["params"]}], **settings)
            return
        check_muon(group)
        check_choice("ns_dtype", group["ns_dtype"], list(_DTYPES))
        for parameter in group["params"]:
            if parameter.ndim < 2:
                raise SettingError(
                    "parameters of a group with use_muon=True must have at least 2 dimensions,"
                    f" got shape {tuple(parameter.shape)}; put it into one with use_muon=False"
                )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a checkpoint; states of named parameters are matched by name.

        How states are stored is this optimizer's choice. What is refused changes nothing.

        Raises:
            SettingError: When parameters' names differ from the optimizer's, a setting is
                unknown or out of bounds, or a state is not one of its half and parameter.
        """
        own = [precision_of(group) for group in self.param_groups]
        saved = load(self, state_dict, self._adapted)
        for group, kept, loaded in zip(self.param_groups, own, saved["param_groups"], strict=True):
            restore(self.state, group, kept, loaded["params"], saved["state"])

    def _adapted(self, saved: dict[str, Any]) -> dict[str, Any]:
        matched = matched_by_name(self.param_groups, saved)
        matched["param_groups"] = [self._completed(group) for group in matched["param_groups"]]
        for own, group in paired(self.param_groups, matched):
            loaded = as_loaded({}, own, group)
            self._check(loaded)
            if not group["use_muon"]:
                check_rule_states(adam_rule(loaded), own, group, matched)
                continue
            for name, parameter, state in saved_states(own, group, matched):
                check_state(name, state, muon_keeps(parameter))
        return matched

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: Evaluates the model again and returns the loss.

        Returns:
            What the closure returned, or None.

        Raises:
            RuntimeError: When a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        found = [
            (p, gradient(p), group)
            for group in self.param_groups
            if group["use_muon"]
            for p in group["params"]
            if p.grad is not None and p.numel()
        ]
        self._adamw()._step()  # hooks of every optimizer are called for this step alone
        for parameter, grad, group in found:
            dtype = _DTYPES[group["ns_dtype"]]
            muon_update(parameter, grad, self.state[parameter], group, dtype)
        return loss

    def _adamw(self) -> AdamW:
        """Return AdamW over this optimizer's own groups and state, kept between steps."""
        groups = [group for group in self.param_groups if not group["use_muon"]]
        half = self.__dict__.get("_adamw_half")
        if half is None:
            half = self._adamw_half = AdamW([{"params": []}])
        half.param_groups, half.state = groups, self.state
        return half

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {
            "_muon_settings": self._muon_settings,
            "_adamw_settings": self._adamw_settings,
        }


def _check_plain(group: Group) -> None:
    given = [name for name in PRECISION if name in group]
    if given:
        raise SettingError(
            f"{given[0]} must be left out of a group with use_muon=True, got"
            f" {group[given[0]]!r}: Muon's momentum is kept in the dtype of its weights"
        )


def _as_groups(params: Any, flatten_convolutions: bool) -> list[Group]:
    given = params if isinstance(params, nn.Module) else list(params)
    if not isinstance(given, nn.Module) and all(isinstance(item, dict) for item in given):
        return given
    groups = muon_groups(given, flatten_convolutions=flatten_convolutions)
    # torch takes an empty group for one without names, which may not stand beside others.
    return [group for group in groups if group["params"]]
