"""Checked numbers, text and objects: each bound is accepted, and the next value beyond it is rejected."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import lenet
from lenet import __version__, _checks
from lenet.errors import InputError, InputTypeError, WeightsError

BELOW_1, ABOVE_1 = np.nextafter(1, 0), np.nextafter(1, 2)
X, Y = np.zeros((1, 28, 28), np.uint8), np.zeros(1, int)


@pytest.mark.parametrize(
    ("check", "accepted", "rejected"),
    [
        (_checks.fraction, [0, 1, 0.5, -0.0], [-1e-300, ABOVE_1, math.nan, math.inf]),
        (lambda *given: _checks.fraction(*given, at_most=0.5), [0, 0.5], [0.51, -0.1]),
        (_checks.non_negative, [0, 1e300], [-1e-300, math.inf, math.nan]),
        (lambda *given: _checks.non_negative(*given, below=1), [0, BELOW_1], [1, -0.1]),
        (_checks.positive, [5e-324, 1e300], [0, -1, math.inf, math.nan]),
        (_checks.whole, [1, 10**30], [0, -1]),
        (lambda *given: _checks.whole(*given, 0, 5), [0, 5], [-1, 6]),
        (_checks.size, [1, 2**31 - 1], [0, 2**31]),
        (lambda *given: _checks.size(*given, 3), [3], [2]),
    ],
)
def test_numbers_within_their_bounds_are_accepted(check, accepted, rejected):
    for value in accepted:
        assert check(value, "it") == value
    for value in rejected:
        with pytest.raises(InputError, match=r"^it is "):
            check(value, "it")


def test_the_bounds_are_in_the_messages():
    for check, value, says in (
        (_checks.fraction, 2, "it is 2; expected a number from 0 to 1."),
        (_checks.non_negative, -1, "it is -1; expected a finite number of at least 0."),
        (
            lambda *given: _checks.non_negative(*given, below=1),
            1,
            "it is 1; expected a number of at least 0 and below 1.",
        ),
        (_checks.positive, 0, "it is 0; expected a finite number above 0."),
        (_checks.whole, 0, "it is 0; expected at least 1."),
        (lambda *given: _checks.whole(*given, 1, 2000), 2001, "it is too large; expected at most 2,000."),
    ):
        with pytest.raises(InputError) as error:
            check(value, "it")
        assert str(error.value) == says


@pytest.mark.parametrize("value", [True, np.True_, "1", None, [1]])
def test_other_types_are_not_numbers(value):
    for check, says in ((_checks.number, "a number"), (_checks.whole, "an integer")):
        with pytest.raises(InputTypeError, match=rf"^it is .*; expected {says}\.$"):
            check(value, "it")


def test_numbers_of_numpy_become_numbers_of_python():
    for value in (np.int8(3), np.uint64(3), np.float16(3), np.float32(3), 3, 3.0):
        assert type(_checks.number(value, "it")) is float
        assert _checks.number(value, "it") == 3
    assert type(_checks.whole(np.int8(3), "it")) is int
    for value in (1.0, np.float64(1)):
        with pytest.raises(InputTypeError, match="expected an integer"):
            _checks.whole(value, "it")
    with pytest.raises(InputError, match=r"^it has more than 300 digits; expected a number that fits in a float"):
        _checks.number(10**400, "it")


# ---- other types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8", np.float32, float, np.dtype("f8")])
def test_float32_and_float64_are_floating(dtype):
    assert _checks.floating(dtype) == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["f2", ">f4", int, "O", "nothing", 3, "longdouble"])
def test_other_types_are_not_floating(dtype):
    with pytest.raises(InputTypeError, match=r"^dtype is .*; expected float32 or float64\.$"):
        _checks.floating(dtype if dtype != "longdouble" or np.dtype(dtype) != np.dtype("f8") else "f2")


def test_only_numpy_generators_are_accepted():
    rng = np.random.default_rng(0)
    assert _checks.generator(rng) is _checks.generator_or_new(rng) is rng
    first, second = _checks.generator_or_new(None), _checks.generator_or_new(None)
    assert first.integers(2**62) != second.integers(2**62)
    for rng in (0, np.random.RandomState(0), np.random):
        with pytest.raises(InputTypeError, match=r"^rng is .*; expected a generator"):
            _checks.generator_or_new(rng)
    with pytest.raises(InputTypeError, match=r"^rng is None; expected a generator"):
        _checks.generator(None)


def test_only_booleans_are_boolean():
    assert _checks.boolean(np.True_, "it") is True
    assert _checks.boolean(False, "it") is False
    for value in (0, 1, "no", None):
        with pytest.raises(InputTypeError, match=r"^it is .*; expected True or False\.$"):
            _checks.boolean(value, "it")


def test_only_functions_and_none_are_callbacks():
    _checks.callback(None, "it")
    _checks.callback(print, "it")
    for value in (0, "print"):
        with pytest.raises(InputTypeError, match=r"^it is .*; expected a function or None\.$"):
            _checks.callback(value, "it")


def test_text_by_name_is_a_copy_of_a_mapping_of_str_to_str():
    text = {"a": "1", "\u732b": ""}
    found = _checks.text_by_name(text, "it")
    assert found == text
    assert found is not text
    for value in (None, [("a", "b")], {"a": 1}, {1: "a"}, {"a": "b", "c": None}):
        with pytest.raises(InputTypeError, match=r"^it is .*; expected a mapping of str to str\.$"):
            _checks.text_by_name(value, "it")
    for value in ({"a": "\ud800"}, {"\ud800": "a"}):
        with pytest.raises(InputError, match=r"^it contains '\\ud800'; expected text that UTF-8 can encode\.$"):
            _checks.text_by_name(value, "it")


def test_a_pickle_may_be_as_new_as_this_major_version():
    major = int(__version__.partition(".")[0])
    for version in ("0", "0.0.1", __version__, f"{major}.999.1"):
        _checks.not_newer(version, "LeNet5")
    with pytest.raises(WeightsError, match=rf"^This LeNet5 was pickled by lenet {major + 1}\.0\.0; lenet .* cannot"):
        _checks.not_newer(f"{major + 1}.0.0", "LeNet5")


def test_a_model_predicts_and_knows_its_number_of_classes():
    whole = {"predict_proba": None, "num_classes": 10}
    _checks.model(SimpleNamespace(**whole))
    for value in ("mnist", type("Model", (), whole), *(SimpleNamespace(**{name: 0}) for name in whole)):
        with pytest.raises(InputTypeError, match=r"^model is .*; expected a LeNet5"):
            _checks.model(value)


def test_values_in_messages_are_short_and_exact():
    assert [_checks.short(value) for value in (255.0, 1.0000001, 3, np.float32(0.5))] == [
        "255",
        "1.0000001",
        "3",
        "0.5",
    ]
    assert len(_checks.short_repr("x" * 1000)) == 80
    assert len(_checks.short_repr(SimpleNamespace(x="y" * 1000))) == 80
    assert _checks.short_repr(np.arange(4).reshape(2, 2)) == "array([[0, 1], [2, 3]])"


@pytest.mark.parametrize("value", [np.zeros((300, 3)), list(range(10_000)), "x" * 10_000])
@pytest.mark.parametrize(
    "call",
    [
        lambda value: lenet.LeNet5(num_classes=value),
        lambda value: lenet.LeNet5(seed=0).predict(X, n_jobs=value),
        lambda value: lenet.SGD(lenet.LeNet5(seed=0), value),
        lambda value: lenet.train(lenet.LeNet5(seed=0), X, Y, value),
        lambda value: lenet.training.RECIPES["default"].with_changes(schedule=value),
        lambda value: lenet.evaluation.evaluate(value, X, Y),
        lambda value: lenet.LeNetClassifier(tol=value).fit(X, Y),
    ],
)
def test_a_message_shows_the_beginning_of_a_long_value(call, value):
    with pytest.raises((InputError, InputTypeError)) as caught:
        call(value)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)
