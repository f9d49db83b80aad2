"""What is given where a rule is wanted."""

import pytest

from ravine.core.errors import SettingError
from ravine.optim import from_rule
from ravine.rules import get_rule, modifiers
from ravine.testing import check_rule

_MODIFIERS = (
    *("weight_decay", "decoupled_weight_decay", "fully_decoupled_weight_decay", "clip_value"),
    *("clip_norm", "clip_global_norm", "centralise", "cautious", "ema", "lookahead", "sam"),
    "maximize",
)


@pytest.mark.parametrize(
    "take", [from_rule, check_rule, *(getattr(modifiers, name) for name in _MODIFIERS)]
)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("lion", r"rule must be a Rule, got 'lion'; write get_rule\('lion'\)"),
        ("adam@lecture", r"got 'adam@lecture'; write get_rule\('adam', 'lecture'\)"),
        (None, r"rule must be a Rule, got None; write get_rule\(name\), or a formula with @rule"),
    ],
)
def test_what_is_no_rule_is_refused(take, given, message):
    with pytest.raises(SettingError, match=message):
        take(given)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adam@lecture", r"unknown optimizer 'adam@lecture'; write get_rule\('adam', 'lecture'\)"),
        ("adma@lecture", "unknown optimizer 'adma'; did you mean 'adamax', 'adan', 'adam'"),
    ],
)
def test_a_convention_in_the_name_is_told_apart(name, message):
    with pytest.raises(SettingError, match=message):
        get_rule(name)
