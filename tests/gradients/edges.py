"""Correct models with points where differences need care: padding, edges, roundings."""

import torch
import torch.nn.functional as F
from torch import nn


def padded(kind):
    """An embedding whose row 0 is padding, not zero as if it had been loaded."""
    embed = kind(11, 6, padding_idx=0)
    nn.init.normal_(embed.weight)
    width = 42 if kind is nn.Embedding else 6
    return nn.Sequential(embed, nn.Tanh(), nn.Flatten(), nn.Linear(width, 3))


class PowerAtZero(nn.Module):
    """``p**1.5`` with some p at 0: no value below, a derivative of 0."""

    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.tensor([0.0, 1.0, 0.0, 2.0]))
        self.a = nn.Linear(8, 4)

    def forward(self, x):
        return self.a(x) + self.p**1.5


class Normalised(nn.Module):
    """Rows of length 1; one of them is 0, where the derivative is as large as 1 / eps."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(8, 4)

    def forward(self, x):
        return self.a(F.normalize(x))


class Coarse(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 32), nn.Linear(32, 4)

    def forward(self, x):
        y = torch.tanh(self.a(x))
        return self.b(y.to(torch.bfloat16).to(x.dtype))
