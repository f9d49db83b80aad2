"""The secant test on losses known to be convex, and known not to be."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ravine.core.errors import SettingError
from ravine.gradients._convexity import convexity_probe
from ravine.gradients._curvature_objective import objective, objective_of


def hinge(scores, labels):
    margins = scores - scores.gather(1, labels[:, None]) + 1
    return margins.scatter(1, labels[:, None], 0.0).relu().sum(1).mean()


def data(dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=generator).to(dtype)
    return x, torch.randint(0, 4, (40,), generator=generator)


def built(dtype, *layers):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        wide = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 4))
        return (wide if layers else nn.Linear(6, 4)).to(dtype)


@pytest.mark.parametrize("radius", [1e-6, 1e-3, 1.0, 100.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", [F.cross_entropy, hinge])
def test_losses_of_a_linear_model_pass_at_every_radius_and_precision(loss, dtype, radius):
    here = objective(built(dtype), loss, data(dtype))
    probe = convexity_probe(here, segments=300, radius=radius)
    assert probe.ok and probe.violation is None
    assert probe.text() == "no violation of convexity on 300 random segments"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("loss", [F.cross_entropy, hinge])
def test_a_network_fails_with_a_segment_as_evidence(loss, seed):
    here = objective(built(torch.float64, "wide"), loss, data(torch.float64))
    worst = convexity_probe(here, seed=seed).violation
    assert worst is not None
    # The evidence stands on its own: three evaluations show it.
    a, b, s = worst.start, worst.end, worst.share
    secant = (1 - s) * here.at(a) + s * here.at(b)
    assert here.at((1 - s) * a + s * b) > secant + 1e-6
    assert worst.gap == pytest.approx(here.at((1 - s) * a + s * b) - secant, rel=1e-9)


def test_a_concave_function_violates_everywhere():
    here = objective_of(lambda w: -(w**2).sum(), torch.zeros(3, dtype=torch.float64))
    probe = convexity_probe(here, segments=20)
    assert probe.frame()["violates"].all()
    assert "on 20 of 20 random segments" in probe.text()
    assert probe.frame()["share"].tolist() == [0.5] * 20


def test_a_plane_is_convex():
    here = objective_of(lambda w: 1e6 * w.sum() + 3, torch.ones(50))
    assert convexity_probe(here, segments=500).ok


def test_the_figure_shows_the_worst_segment_and_its_secant():
    here = objective(built(torch.float64, "wide"), F.cross_entropy, data(torch.float64))
    loss, secant = convexity_probe(here).plot(points=5).data
    assert len(loss.x) == 5
    assert [secant.y[0], secant.y[1]] == [loss.y[0], loss.y[-1]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"segments": 0}, "segments must be"), ({"radius": 0.0}, "radius must be")],
)
def test_wrong_numbers_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        convexity_probe(objective_of(lambda w: w.sum(), torch.ones(2)), **settings)


def test_losses_that_are_not_finite_hide_no_violation():
    here = objective_of(lambda w: w.log().sum(), torch.ones(1, dtype=torch.float64))
    probe = convexity_probe(here, segments=200)
    finite = [one for one in probe.segments if torch.isfinite(torch.tensor(one.gap))]
    assert 0 < len(finite) < 200
    assert not probe.ok and probe.violation in finite
    assert f"on {200 - len(finite)} more the loss is not finite" in probe.text()
    narrow = objective_of(lambda w: (1e-12 - (w - 1) ** 2).sqrt().sum(), torch.ones(1).double())
    with pytest.raises(SettingError, match="it is finite on none"):
        convexity_probe(narrow, segments=5)
