"""What the benchmark of rule steps measures: every rule, by the class a user would take."""

import pytest
import torch

from ravine.rules import get_rule, rule_names


@pytest.fixture
def cases(monkeypatch, request):
    monkeypatch.syspath_prepend(str(request.config.rootpath / "benchmarks"))
    import _rule_cases  # noqa: PLC0415  (found only now)

    return _rule_cases


def test_every_rule_is_measured_or_left_out_by_name(cases):
    assert sorted([*cases.compared(), *cases.LEFT_OUT]) == sorted(rule_names())


@pytest.mark.parametrize("name", [name for name in rule_names() if name != "sam"])
def test_our_side_steps_by_that_rule(cases, name):
    weight = torch.nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.full((2, 2), 0.5)
    optimizer = cases.ours(name)([weight])
    [group] = optimizer.param_groups
    # AdamW is Adam with a modifier, which keeps the rule's name.
    assert optimizer._rule_of(group).name == {"adamw": "adam"}.get(name, name)
    optimizer.step()
    kept = [v for v in optimizer.state[weight].values() if v.shape == weight.shape]
    assert len(kept) == len(get_rule(name).state)


def test_torch_has_the_classes_and_ways_that_are_named(cases):
    for known in cases.IN_TORCH.values():
        for make in cases.torch_ways(known).values():
            weight = torch.nn.Parameter(torch.ones(2))
            weight.grad = torch.ones(2)
            make([weight]).step()
            assert not weight.isnan().any()


def test_bytes_of_a_step(cases):
    # w and g are read, w is written; a state is read and written: four bytes each.
    assert {n: cases.moves(get_rule(n)) for n in ("sgd", "momentum", "adam", "adan")} == {
        "sgd": 12,
        "momentum": 20,
        "adam": 28,
        "adan": 44,
    }
