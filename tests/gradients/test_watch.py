"""Who is named where values are not finite: the model itself, its inputs."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ravine.gradients import check
from tests.gradients.test_sandbox import ROWS, data, own


def evidence(model, batch):
    (finding,) = check(model, F.cross_entropy, batch).findings
    assert finding.cause == "non-finite"
    return finding.evidence


def test_the_model_itself_is_named_where_its_own_forward_makes_what_is_not_finite():
    x, y = data()
    forward = own(lambda self, x: (self.layer(x) - 1e6).log())
    assert "is the model itself (Own), in the forward pass" in evidence(forward, (x, y))
    keyword = own(lambda self, x: (self.layer(x) - 1e6).log())
    assert "is the model itself (Own), in the forward" in evidence(keyword, ({"x": x}, y))
    backward = own(lambda self, x: (self.layer(x) * 0).sqrt())
    assert "is the model itself (Own), in the backward pass" in evidence(backward, (x, y))


def test_the_model_itself_is_named_in_the_backward_pass_for_inputs_without_gradient():
    words = torch.ones(ROWS).long()
    model = own(lambda self, i: (self.layer(self.embed(i)) * 0).sqrt(), embed=nn.Embedding(4, 3))
    assert "is the model itself (Own), in the backward" in evidence(model, (words, data()[1]))


def test_inputs_that_are_not_finite_are_named():
    x, y = data()
    x[1, 2] = float("nan")
    found = evidence(own(lambda self, pair: self.layer(pair[1])), ([y, x], y))
    assert "input[1] itself holds such values" in found


class Own(torch.autograd.Function):
    """Square root of what is 0 somewhere, or a division by 0 in its backward."""

    @staticmethod
    def forward(ctx, x, way):
        ctx.way = way
        return x.clone() if way == "backward" else (x - 1e6).sqrt()

    @staticmethod
    def backward(ctx, g):
        return g / 0, None


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_a_function_of_ones_own_is_named_with_its_line(way):
    found = evidence(own(lambda self, x: Own.apply(self.layer(x), way)), data())
    line = getattr(Own, way).__code__.co_firstlineno
    assert f"the model itself (Own), in the {way} pass: Own.{way} (test_watch.py:{line})" in found
