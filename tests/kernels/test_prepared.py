"""When a step wakes other threads: told by a clock of the test's own."""

import ctypes
from types import SimpleNamespace

import pytest

from ravine.kernels import Prepared, _prepared

PLACES = (7, 8)
FEW, MANY = 1000, 10_000_000


@pytest.fixture
def clock(monkeypatch):
    made = SimpleNamespace(now=10**9)
    monkeypatch.setattr(_prepared, "perf_counter_ns", lambda: made.now)
    monkeypatch.setattr(_prepared, "_ended", 0)
    return made


def prepared(elements):
    """Return a step that notes what it is given: whether it stays on one thread, and the rest."""
    given = []

    def step(place):
        words = (ctypes.c_int64 * 5).from_address(place)
        alone = ctypes.c_int64.from_address(words[3]).value
        given.append((bool(alone), (words[0], words[1], words[4])))

    loops = [SimpleNamespace(address=9)]
    return Prepared(step, PLACES, loops, elements, None), given


def test_few_elements_are_shared_only_right_after_a_step(clock):
    step, given = prepared(FEW)
    step()
    clock.now += 50_000
    step()
    clock.now += 10**7
    step()
    assert [alone for alone, _ in given] == [True, False, True]
    assert {rest for _, rest in given} == {(*PLACES, 9)}


def test_any_kernels_step_keeps_threads_awake(clock):
    prepared(MANY)[0]()
    step, given = prepared(FEW)
    clock.now += 50_000
    step()
    assert [alone for alone, _ in given] == [False]


def test_many_elements_are_always_shared(clock):
    step, given = prepared(MANY)
    for _ in range(3):
        clock.now += 10**9
        step()
    assert [alone for alone, _ in given] == [False] * 3
