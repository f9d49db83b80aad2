"""Steps with several threads, from several threads, and in a forked child; torch is the oracle."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import ravine.optim

THREADS = 2
STEPS = 5


@pytest.fixture(autouse=True)
def several_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


def trained(make, seed, tensors=100, size=6000):
    """Return weights after some steps: so many that sleeping threads are woken for them."""
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.nn.Parameter(torch.randn(size, generator=generator)) for _ in range(tensors)]
    optimizer = make(weights)
    for _ in range(STEPS):
        for weight in weights:
            weight.grad = torch.cos(weight.detach())
        optimizer.step()
    return torch.cat([weight.detach() for weight in weights])


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad"])
def test_prepared_steps_of_several_threads_equal_torch(name):
    ours = trained(getattr(ravine.optim, name), 0)
    torch.testing.assert_close(ours, trained(getattr(torch.optim, name), 0), rtol=2e-6, atol=1e-7)


def test_optimizers_of_several_python_threads_do_not_meet():
    alone = [trained(ravine.optim.Adam, seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: trained(ravine.optim.Adam, seed), range(4)))
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one, other)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_steps_without_the_threads_it_has_not():
    expected = trained(ravine.optim.Adam, 0)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        # The child must not wait for ever, nor run the rest of the tests.
        torch.set_num_threads(1)  # torch's own functions would wait for the parent's threads
        weights = [torch.nn.Parameter(torch.zeros(300_000)) for _ in range(2)]
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        optimizer = ravine.optim.SGD(weights, lr=1.0)
        torch.set_num_threads(THREADS)
        optimizer.step()
        optimizer.step()
        os.write(write, b"%d" % round(weights[0].detach()[0].item()))
        os._exit(0)
    os.close(write)
    assert os.read(read, 16) == b"-2"
    os.waitpid(child, 0)
    assert torch.equal(trained(ravine.optim.Adam, 0), expected)
