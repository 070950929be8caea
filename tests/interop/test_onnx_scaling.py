"""How an ONNX graph may scale its pixels: by hand, at, below and above each limit."""

import numpy as np
import pytest

pytestmark = pytest.mark.landing
onnx = pytest.importorskip("onnx")

from onnx import helper  # noqa: E402
from onnx_graphs import OF_EACH_IMAGE, Changed, assert_read  # noqa: E402

# ---- the scaling of the pixels -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operators", "mean", "std"),
    [
        ([("Sub", 0.5), ("Div", 0.25)], 0.5, 0.25),
        ([("Add", 0.5), ("Mul", 4.0)], -0.5, 0.25),
        ([("Mul", 4.0), ("Sub", 2.0)], 0.5, 0.25),
        ([("Div", 0.25), ("Add", 1.0), ("Mul", 2.0), ("Sub", 4.0)], 0.25, 0.125),  # 8 x - 2
    ],
)
def test_a_scaling_by_any_operators(operators, mean, std):
    model = Changed().scaled(*((kind, np.float32(number)) for kind, number in operators)).read()
    assert (model.mean, model.std) == (mean, std)


def test_numbers_come_first_only_in_sums_and_products():
    changed = Changed().scaled(("Add", np.float32(0.5)), ("Mul", np.float32(4)))
    for node in changed.proto.graph.node[:2]:
        node.input[:] = reversed(node.input)
    assert (changed.read().mean, changed.read().std) == (-0.5, 0.25)
    changed.proto.graph.node[1].op_type = "Div"
    assert "number 1 is not computed from the images" in changed.refusal()


@pytest.mark.parametrize(("axes", "accepted"), [(0, True), (4, True), (5, False)])
def test_a_scale_may_have_as_many_axes_as_the_images(axes, accepted):
    changed = Changed().scaled(("Mul", np.full((1,) * axes, 2, np.float32)))
    if accepted:
        assert (changed.read().mean, changed.read().std) == (0, 0.5)
    else:
        assert "does not scale its pixels by one number" in changed.refusal()


@pytest.mark.parametrize(
    ("operators", "refusal"),
    [
        ([("Mul", np.float32(0))], "scales its pixels by 0.0; expected a positive number"),
        ([("Div", np.float32(0))], "scales its pixels by 0.0; expected a positive number"),
        ([("Div", np.float32(-2))], "scales its pixels by -2.0; expected a positive number"),
        ([("Mul", np.float32([2, 2]))], "does not scale its pixels by one number"),
        ([("Mul", np.int64(2))], "is int64 or not finite; expected finite floats"),
        ([("Mul", 1e200)] * 2, "scales its pixels by numbers that overflow"),
        ([("Mul", 1e-200)] * 2, "scales its pixels by numbers that overflow"),
        ([("Mul", 1e-50)], "scales its pixels by numbers that overflow"),
        ([("Add", 1e39)], "scales its pixels by numbers that overflow"),
    ],
)
def test_other_scales_are_refused(operators, refusal):
    assert refusal in Changed().scaled(*operators).refusal()


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        ("0.2500002", "0.5", (0.2500002, 0.5)),  # within a millionth
        ("0.25000026", "0.5", (0.25, 0.5)),
        ("0.25", "0.5000004", (0.25, 0.5000004)),
        ("0.25", "0.5000006", (0.25, 0.5)),
        ("0.24999976", "0.4999996", (0.24999976, 0.4999996)),
        ("a quarter", "0.5", (0.25, 0.5)),
        ("nan", "nan", (0.25, 0.5)),
    ],
)
def test_the_text_gives_the_scaling_in_more_digits_if_it_agrees(pixels, mean, std, expected):
    changed = Changed(pixels=pixels)
    for each in changed.proto.metadata_props:
        each.value = {"mean": mean, "std": std}.get(each.key, each.value)
    model = changed.read()
    assert (model.mean, model.std) == pytest.approx(expected, rel=1e-7)
    assert not {"mean", "std", "input", "architecture", "num_classes"} & model.metadata.keys()


# ---- the standardisation of each image -----------------------------------------------------------------


def with_layer_norm(shift=None, scale=1.0, **attributes):
    changed = Changed(OF_EACH_IMAGE)
    changed.proto.opset_import[0].version = 17
    inputs = ["images", changed.constant("ones", np.full((1, 28, 28), scale, np.float32))]
    if shift is not None:
        inputs.append(changed.constant("zeros", np.full((1, 28, 28), shift, np.float32)))
    changed.nodes["input"].CopyFrom(helper.make_node("LayerNormalization", inputs, ["input"], **attributes))
    return changed


@pytest.mark.parametrize("axis", [1, 2, -3, -2])
@pytest.mark.parametrize("shift", [None, 0.0])
def test_a_layer_norm_over_the_rows_and_columns_standardises_each_image(axis, shift):
    assert_read(with_layer_norm(shift, axis=axis, epsilon=1e-5), OF_EACH_IMAGE)
    assert_read(with_layer_norm(shift, axis=axis), OF_EACH_IMAGE)  # the specification's epsilon


@pytest.mark.parametrize(
    "options",
    [
        {"axis": 0}, {"axis": 3}, {"axis": -1}, {"axis": -4}, {}, {"axis": 1, "epsilon": 1.1e-5},
        {"axis": 1, "epsilon": 0.9e-5}, {"axis": 1, "shift": 0.5}, {"axis": 1, "scale": 2.0},
    ],
)  # fmt: skip
def test_other_layer_norms_are_refused(options):
    assert "it standardises its images differently" in with_layer_norm(**options).refusal()


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (2, 0), (1, 1), (2, 1)])
def test_a_standardisation_neither_scales_nor_shifts(scale, shift):
    changed = Changed(OF_EACH_IMAGE)
    changed.constant("scale", np.full(1, scale, np.float32))
    changed.constant("shift", np.full(1, shift, np.float32))
    if (scale, shift) == (1, 0):
        assert_read(changed, OF_EACH_IMAGE)
    else:
        assert "it standardises its images differently" in changed.refusal()


def test_bytes_are_divided_before_they_are_standardised():
    changed = Changed(OF_EACH_IMAGE, "uint8")
    changed.constant("one_byte", np.float32(1))
    assert "expected pixels in [0, 1], and epsilon 1e-05" in changed.refusal()


def test_nothing_is_scaled_after_the_standardisation():
    changed = Changed(OF_EACH_IMAGE)
    changed.before("c1.Conv2d", "Mul", changed.constant("one", np.float32(1)))
    assert "it scales its pixels after it has standardised each image" in changed.refusal()
