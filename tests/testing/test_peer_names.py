"""Every algorithm that a library exports under a name of ours has a row, or a stated reason."""

from importlib import import_module

import pytest
import torch

from ravine.testing._conformance import known_names
from ravine.testing._peers import LIBRARIES, PEERS, WITHOUT_ROW

# Other spellings of a name, without case and underscores.
ALSO = {
    **{"adamwschedulefree": "schedule_free_adamw", "sfadamw": "schedule_free_adamw"},
    **{"sgdschedulefree": "schedule_free_sgd", "signum": "signsgd", "sgdw": "momentum"},
    **{"samwrapper": "sam", "muonadamw": "muon_with_adamw", "dadaptadamw": "dadapt_adam"},
    **{"adamaxw": "adamax", "nadamw": "nadam", "sparseadam": "sparse_adam"},
}
OURS = {name.replace("_", ""): name for name in known_names()} | ALSO


def exported(library: str) -> dict[str, str]:
    """Return the names of a library's optimizers that are ours too, with ours."""
    modules = [import_module(library.module)]
    if library.kind == "optax":
        modules.append(import_module("optax.contrib"))
    names = {name for module in modules for name in dir(module) if callable(getattr(module, name))}
    found = {name: OURS.get(name.lower().replace("_", "")) for name in names}
    return {name: rule for name, rule in found.items() if rule}


def has_row(library: str, name: str, rule: str) -> bool:
    rows = [row for row in PEERS if row.library == library]
    return any(row.rule == rule or row.call().startswith(f"{name}(") for row in rows)


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=lambda library: library.name)
def test_same_names_have_a_row_or_a_reason(library):
    if not library.installed:
        pytest.skip(f"{library.name} is not installed")
    found = exported(library)
    excused = {name for peer, name, _ in WITHOUT_ROW if peer == library.name}
    without = {name for name, rule in found.items() if not has_row(library.name, name, rule)}
    assert found
    assert without == excused


def test_every_class_of_torch_is_known():
    classes = {
        name
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
    }
    assert classes - exported(LIBRARIES["torch.optim"]).keys() == {"Optimizer"}


def test_classes_exported_again_are_torchs():
    if not LIBRARIES["pytorch-optimizer"].installed:
        pytest.skip("pytorch-optimizer is not installed")
    library = import_module("pytorch_optimizer")
    again = [name for peer, name, _ in WITHOUT_ROW if peer == "pytorch-optimizer"]
    assert again
    assert all(getattr(library, name) is getattr(torch.optim, name) for name in again)
