"""What precision tests run: rules, ways of storing, and steps whose every bit is compared."""

import torch

import ravine.optim as ours

SETTINGS = [
    (torch.float32, {"state_dtype": "bfloat16"}),
    (torch.float32, {"state_dtype": "int8"}),
    (torch.bfloat16, {}),
    (torch.bfloat16, {"state_dtype": "float32", "param_rounding": "stochastic"}),
    (torch.bfloat16, {"state_dtype": "int8", "param_rounding": "kahan"}),
]
RULES = {
    "adam": (ours.Adam, {"weight_decay": 0.1, "amsgrad": False}),
    "lion": (ours.Lion, {"weight_decay": 0.1}),
    "rmsprop": (ours.RMSprop, {"momentum": 0.9, "centered": True}),
    "momentum": (ours.SGD, {"momentum": 0.9, "dampening": 0.3, "lr": 0.01}),
    "nadam": (ours.NAdam, {}),  # keeps a number per tensor, too
}
# Longer than a chunk of 32 Ki, a block, less than one, a scalar and an empty tensor.
SHAPES = [(33_000,), (16, 16), (3, 5), (), (0,)]

# All ways of storing for Adam; for the others those that share no code with each other.
PAIRS = [("adam", *case) for case in SETTINGS]
PAIRS += [(rule, *SETTINGS[i]) for rule in ("lion", "rmsprop", "momentum") for i in (0, 1)]
PAIRS += [("nadam", *SETTINGS[4])]


def made(make, dtype, seed=0, shapes=SHAPES):
    torch.manual_seed(seed)
    parameters = [torch.nn.Parameter(torch.randn(s).to(dtype)) for s in shapes]
    return parameters, make(parameters)


def run(parameters, optimizer, steps, start=0):
    """Step with gradients of many magnitudes that depend on the step alone."""
    for step in range(start, start + steps):
        torch.manual_seed(1000 + step)
        for p in parameters:
            p.grad = (torch.randn(p.shape) * 10.0 ** torch.randn(p.shape)).to(p.dtype)
        optimizer.step()


def kept(optimizer, parameters):
    """Return weights and all that is kept, as bytes by parameter and key."""
    found = [{"w": p, **optimizer.state[p]} for p in parameters]
    return [
        {k: v.detach().flatten().contiguous().view(torch.uint8).clone() for k, v in f.items()}
        for f in found
    ]


def assert_same_bits(found, expected):
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.keys() == theirs.keys()
        for key in mine:
            assert torch.equal(mine[key], theirs[key]), key
