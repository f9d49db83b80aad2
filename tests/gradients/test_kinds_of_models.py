"""Models that normalise, draw, are sparse, complex, frozen or compiled: no false alarm.

Those that cannot be checked are refused with the reason.
"""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from ravine.core.errors import ModelError
from ravine.gradients import check
from tests.gradients.test_sandbox import ROWS, data, names, own, passes, seeded


def normalised(which):
    old = {"weight, old": nn.utils.weight_norm, "spectral, old": nn.utils.spectral_norm}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that the old ones are old
        norm = {
            **old,
            "weight": parametrizations.weight_norm,
            "spectral": parametrizations.spectral_norm,
            "orthogonal": parametrizations.orthogonal,
        }[which]
        return seeded(lambda: nn.Sequential(norm(nn.Linear(3, 3)), nn.Tanh(), nn.Linear(3, 2)))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "which", ["weight, old", "spectral, old", "weight", "spectral", "orthogonal"]
)
def test_normalised_weights_raise_no_alarm(which, training):
    model = normalised(which).train(training)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    assert not passes(model, data()).notices
    assert all(one.equal(before[name]) for name, one in model.state_dict().items())


def test_a_generator_of_its_own_is_held():
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    model = own(
        lambda self, x: self.layer(x) * torch.rand(2, generator=self.source), source=generator
    )
    passes(model, data(), also={"randomness"})
    assert generator.get_state().equal(before)


def test_complex_buffers_and_inputs_keep_their_imaginary_parts():
    x, y = data()
    turn = torch.polar(torch.ones(2), torch.tensor([0.3, 2.0]))
    model = own(lambda self, x, z: (self.layer(x) * self.turn * z).imag)
    model.register_buffer("turn", turn)
    passes(model, (x, turn * 2, y))


def test_sparse_gradients():
    words = torch.randint(11, (ROWS, 7), generator=torch.Generator().manual_seed(0))
    model = seeded(
        lambda: nn.Sequential(nn.Embedding(11, 4, sparse=True), nn.Flatten(), nn.Linear(28, 2))
    )
    assert names(passes(model, (words, data()[1])))[0] == "0.weight"


def test_a_frozen_model_is_checked_by_its_inputs():
    model = own(lambda self, x: self.layer(x)).requires_grad_(False)
    report = passes(model, data(), also={"no-gradient"})
    assert names(report) == ["input"]


@pytest.mark.parametrize("make", [torch.jit.trace, lambda model, x: torch.jit.script(model)])
def test_compiled_models_are_copied_whole(make):
    plain = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch has deprecated both
        model = make(plain, data()[0])
    assert not passes(model, data()).notices


def cannot(model, batch=None):
    return model, batch or data()


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (lambda: cannot(nn.LazyLinear(2)), "weight has no shape yet.*call the model once"),
        (lambda: cannot(nn.LazyBatchNorm1d(affine=False)), "running_mean has no shape yet"),
        (
            lambda: cannot(nn.Linear(3, 2, device="meta")),
            r"weight is on the meta device.*model.to_empty",
        ),
        (
            lambda: cannot(nn.Linear(3, 2, dtype=torch.complex64)),
            "weight is torch.complex64; only real ones can be checked",
        ),
        (
            lambda: cannot(
                nn.Embedding(4, 2).requires_grad_(False), (torch.ones(3).long(), data()[1][:3])
            ),
            "nothing to check: no parameter of the model has requires_grad",
        ),
    ],
)
def test_what_cannot_be_checked_says_why(case, words):
    model, batch = case()
    with pytest.raises(ModelError, match=words):
        check(model, F.cross_entropy, batch)
