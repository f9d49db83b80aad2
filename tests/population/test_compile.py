"""Compiled blocks, and blocks that have to do without a compiler."""

import numpy as np
import pytest
import torch
from torch import nn
from torch._inductor import cpp_builder
from torch._inductor.exc import InvalidCxxCompiler

from ravine.population import Population, _block, _compile
from ravine.population._memory import bytes_per_slot
from ravine.problems import Problem
from tests.population.making import (
    EIGHT,
    assert_equal,
    finish,
    in_block,
    member,
    plain,
    uncompiled,
    vectors,
)


def narrow(shape, classes):
    """Weights of 64 x 10 and 10 x 64, whose products are computed transposed."""
    layers = [nn.Linear(5, 10), nn.Tanh(), nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, classes)]
    return nn.Sequential(*layers)


@pytest.fixture(scope="module")
def problem():
    return Problem(narrow, vectors(390, 5), batch=32, epochs=6)


@pytest.fixture(scope="module")
def compiled(problem):
    """One compiled slot, whose evaluation takes several pieces and a rest."""
    said, settings = [], {"largest": 1, "workers": 1, "dtype": torch.float64}
    budget = 1.1 * bytes_per_slot(problem, 32, 2, torch.float64).training / 2**30
    population = Population(problem, memory_gb=budget, notice=said.append, **settings)
    assert (population.slots, said) == (1, [])
    return population


def test_functions_are_compiled(compiled):
    block = compiled._prepared()
    for function in (block.gradient, block.evaluation):
        assert isinstance(function, torch._dynamo.OptimizedModule)


def test_members_equal_the_plain_loop(compiled, problem):
    total = compiled.budget.steps
    for seed, name in enumerate(EIGHT):
        one = member(seed, name, seed=seed, convention="lecture")
        (end,) = in_block(compiled, [one], total)
        assert_equal(end, plain(problem, one, total, total, "cosine"))


def test_nothing_is_compiled_anew(compiled, monkeypatch):
    """A worker that wanted to compile would wait for ever for threads that only its parent has."""
    rows = compiled._prepared().evaluation_rows
    validation, test = (len(compiled.problem.evaluation_rows(0, p)) for p in ("validation", "test"))
    assert validation // rows >= 2
    assert test % rows > 0
    refusing = lambda: torch.compiler.set_stance("fail_on_recompile")  # noqa: E731
    monkeypatch.setattr(_block, "as_compiled", refusing)
    members = [member(i, name, seed=i) for i, name in enumerate(("adam", "sgd", "nesterov"))]
    outcomes = finish(compiled, members, test=True)
    assert {outcome.status for outcome in outcomes.values()} == {"ok"}


def test_without_a_compiler_one_notice_and_the_same_results(compiled, problem, monkeypatch):
    def none():
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    said = []
    population = Population(problem, largest=1, workers=1, dtype=torch.float64, notice=said.append)
    _compare(population, compiled)
    assert len(said) == 1
    assert said[0].startswith("no C++ compiler found, so members train uncompiled")
    assert "CXX" in said[0]


def test_a_model_that_does_not_compile_runs_uncompiled(compiled, problem, monkeypatch):
    def broken(module):
        raise ValueError("no register left\nand much more")

    monkeypatch.setattr(_compile, "transpose_narrow_products", broken)
    said = []
    population = Population(problem, largest=1, workers=1, dtype=torch.float64, notice=said.append)
    _compare(population, compiled)
    reason = "ValueError: no register left"
    assert said == [f"the model could not be compiled and trains slower ({reason})"]


def test_the_compilers_own_complaint_is_passed_on(problem, monkeypatch):
    def refuses(graph, *given, **named):
        def backend(module, inputs):
            raise ValueError("no such instruction")

        return original(graph, backend=backend)

    original = torch.compile
    monkeypatch.setattr(torch, "compile", refuses)
    said = []
    assert Population(problem, largest=1, workers=1, notice=said.append).slots == 1
    assert len(said) == 1
    assert "ValueError: no such instruction" in said[0]


def _compare(population, compiled):
    members = [member(i, name, seed=i) for i, name in enumerate(("adam", "nesterov"))]
    ours, theirs = finish(population, members, test=True), finish(compiled, members, test=True)
    for number, outcome in ours.items():
        other = theirs[number]
        np.testing.assert_allclose(outcome.curve, other.curve, rtol=1e-9)
        ends = (outcome.test_loss, outcome.test_score), (other.test_loss, other.test_score)
        np.testing.assert_allclose(*ends, rtol=1e-9)


def test_threads_are_as_before_once_a_run_is_over(problem):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        population = uncompiled(problem, largest=2, workers=1)
        finish(population, [member(0)])
        run = population.run([member(0)])
        next(run)
        run.close()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
