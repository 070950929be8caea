"""Inference requests and responses from and to bytes, by hand: JSON fields, tensors, outputs and labels."""

import json
import math
import struct

import needs_serve  # noqa: F401
import numpy as np
import pytest

import lenet
from lenet.errors import InputError
from lenet.serving import Limits
from lenet.serving.models import Served
from lenet.serving.protocol.fields import (
    boolean_field,
    json_object,
    known_parameters,
    object_field,
    object_list_field,
)
from lenet.serving.protocol.inference import InferenceRequest, parse_request, read_request, write_response
from lenet.serving.protocol.tensors import InputTensor, OutputRequest, encode_output, parse_tensor

ALL = tuple(OutputRequest(name, binary=False) for name in ("label", "probabilities", "digit_score"))


def an_entry(**changes):
    entry = {"name": "images", "datatype": "UINT8", "shape": [1, 784], "data": [0] * 784, **changes}
    return {name: value for name, value in entry.items() if value is not None}


def a_request(entry=None, **rest):
    return json.dumps({"inputs": [entry or an_entry()], **rest}).encode()


# ---- fields of JSON ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mark", "size"), [("[", 5000), ("{", 5000), ('\\"', 9000), ("[", 100_000)])
@pytest.mark.parametrize("excess", [0, 1])
def test_a_text_has_4000_marks_and_one_more_for_each_50_bytes(mark, size, excess):
    """The object and its one field have five: a brace and four quotation marks."""
    allowed = 4000 + size // 50
    text = ('{"a":"' + mark * (allowed - 5 + excess) + '"').encode()
    text = (
        text.ljust(size // 2) + b" " * (size - size // 2 - 1) + b"}"
        if len(text) < size // 2
        else text.ljust(size - 1) + b"}"
    )
    assert len(text) == size
    if not excess:
        assert len(json_object(text)["a"]) == (allowed - 5)
        return
    with pytest.raises(InputError) as error:
        json_object(text)
    read = min(size, 65_536)
    assert str(error.value) == (
        f"The JSON has {allowed + 1:,} brackets and quotation marks in its first {read:,} bytes; "
        f"expected at most {allowed:,} in {size:,}. Send the numbers as one flat list."
    )


@pytest.mark.parametrize("excess", [0, 1])
def test_marks_are_counted_once_where_they_are(excess):
    """Of 100,000 bytes, the last that are read first are the byte 65,535 and those before."""
    number = 6000 - 5 + excess
    text = (b'{"a":"' + b" " * (65_530 - number // 2) + b"[" * number).ljust(100_000 - 2) + b'"}'
    if excess:
        with pytest.raises(InputError, match=r"6,001 brackets and quotation marks in its first 100,000 bytes"):
            json_object(text)
    else:
        assert len(json_object(text)["a"]) == 100_000 - 8


@pytest.mark.parametrize(("size", "values", "is_accepted"), [
    (5000, 1000, True), (5000, 1001, False), (80_000, 1000, True), (80_000, 1001, False),
    (4000, 1900, True), (4001, 1900, False),
])  # fmt: skip
def test_a_text_of_more_than_4000_bytes_has_a_limit_of_values(size, values, is_accepted):
    """The values are one more than the commas."""
    text = b'{"a":[' + b"0," * (values - 1)
    text = text.ljust(size - 3) + b"0]}"
    if is_accepted:
        assert json_object(text) == {"a": [0] * values}
    else:
        with pytest.raises(InputError) as error:
            json_object(text)
        assert f"has at least {values:,} values; expected at most 1,000. Send fewer images." in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [(b"[]", "The request is []; expected a JSON object."), (b"\xff", "is not JSON (not UTF-8). Send JSON, with"),
     (b"{", "is not JSON (unexpected end of data")],
)  # fmt: skip
def test_a_text_is_a_json_object(text, says):
    with pytest.raises(InputError) as error:
        json_object(text)
    assert says in str(error.value)


def test_fields_have_defaults_and_types():
    content = {"object": {"a": 1}, "list": [{"a": 1}, {}], "yes": True, "no": False, "none": None, "mixed": [{}, 1]}
    assert object_field(content, "object") == {"a": 1}
    assert object_field(content, "missing") == object_field(content, "none") == {}
    assert object_list_field(content, "list") == [{"a": 1}, {}]
    assert object_list_field(content, "missing") == object_list_field(content, "none") == []
    assert [boolean_field(content, name) for name in ("yes", "no", "missing")] == [True, False, False]
    assert boolean_field(content, "missing", True) is True
    for read, name, expected in (
        (object_field, "list", "a JSON object"), (object_list_field, "mixed", "a list of JSON objects"),
        (object_list_field, "object", "a list of JSON objects"), (boolean_field, "none", "true or false"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=f"^{name} is .*; expected {expected}"):
            read(content, name)


def test_only_known_parameters_are_accepted():
    content = {"parameters": {"b": 1, "a": 2}}
    assert known_parameters(content, "a", "b") == {"b": 1, "a": 2}
    assert known_parameters({}, "a") == {}
    with pytest.raises(InputError, match=r"^Unknown parameter 'a'; expected c or d\.$"):
        known_parameters(content, "c", "d")


# ---- the input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, InputTensor("UINT8", (1, 784), None, [0] * 784)),
        ({"datatype": "FP16", "shape": [2, 28, 28]}, InputTensor("FP16", (2, 28, 28), None, [0] * 784)),
        ({"datatype": "FP32", "shape": [2, 1, 28, 28]}, InputTensor("FP32", (2, 1, 28, 28), None, [0] * 784)),
        ({"datatype": "FP64", "shape": [28, 28]}, InputTensor("FP64", (28, 28), None, [0] * 784)),
        ({"shape": [0, 784], "data": []}, InputTensor("UINT8", (0, 784), None, [])),
        ({"shape": [3, 784]}, InputTensor("UINT8", (3, 784), None, [0] * 784)),
        ({"shape": [4, 784]}, "has 4 images; expected at most 3. Send several requests."),
        ({"data": None, "parameters": {"binary_data_size": 784}}, InputTensor("UINT8", (1, 784), 784, None)),
        ({"data": None, "parameters": {"binary_data_size": 0}}, InputTensor("UINT8", (1, 784), 0, None)),
        ({"data": None, "parameters": {"binary_data_size": -1}}, "binary_data_size -1; expected a number of bytes."),
        ({"data": None, "parameters": {"binary_data_size": True}}, "binary_data_size True"),
        ({"data": None, "parameters": {"binary_data_size": 784.0}}, "binary_data_size 784.0"),
        ({"data": None}, "has both or neither of data and binary_data_size"),
        ({"parameters": {"binary_data_size": 784}}, "has both or neither of data and binary_data_size"),
        ({"data": "AAAA"}, "has data 'AAAA'; expected a list of numbers."),
        ({"parameters": {"shared_memory_region": "a"}}, "Shared memory is not supported. Send the data"),
        ({"datatype": "INT8"}, "has datatype 'INT8'; expected UINT8 (0 to 255), or FP16, FP32 or FP64 (0 to 1)"),
        ({"datatype": ["UINT8"]}, "has datatype ['UINT8']"),
        ({"datatype": None}, "has datatype None"),
        ({"parameters": []}, "parameters is []"),
        ({"shape": None}, "has shape None; expected a list of integers of at least 0."),
        ({"shape": [1.0, 784]}, "has shape [1.0, 784]; expected a list of integers of at least 0."),
        ({"shape": [True, 28, 28]}, "expected a list of integers of at least 0."),
        ({"shape": [-1, 784]}, "expected a list of integers of at least 0."),
        ({"shape": [2**64 - 1, 784]}, "has 18446744073709551615 images; expected at most 3."),
        ({"shape": [0, 2**40, 28]}, "expected [n, 1, 28, 28]"),
        ({"shape": [784]}, "expected [n, 1, 28, 28], [n, 28, 28], [n, 784] or [28, 28]."),
        ({"shape": [1, 783]}, "expected [n, 1, 28, 28]"),
        ({"shape": [27, 28]}, "expected [n, 1, 28, 28]"),
        ({"shape": [1, 28, 28, 1]}, "expected [n, 1, 28, 28]"),
    ],
)
def test_an_input_of_at_most_three_images(changes, expected):
    if isinstance(expected, InputTensor):
        assert parse_tensor(an_entry(**changes), 3) == expected
    else:
        with pytest.raises(InputError) as error:
            parse_tensor(an_entry(**changes), 3)
        assert expected in str(error.value)


PIXELS = np.random.default_rng(0).integers(0, 256, (2, 784), np.uint8)


@pytest.mark.parametrize(("datatype", "dtype"), [("UINT8", "u1"), ("FP16", "<f2"), ("FP32", "<f4"), ("FP64", "<f8")])
@pytest.mark.parametrize("shape", [(2, 784), (2, 28, 28), (2, 1, 28, 28)])
def test_the_numbers_of_a_tensor_in_binary_and_in_json(datatype, dtype, shape):
    values = (PIXELS if datatype == "UINT8" else PIXELS / 255).astype(dtype).reshape(shape)
    size = {"UINT8": 1, "FP16": 2, "FP32": 4, "FP64": 8}[datatype] * 1568
    binary = InputTensor(datatype, shape, size, None).images(memoryview(values.tobytes()))
    flat = InputTensor(datatype, shape, None, values.ravel().tolist()).images(memoryview(b""))
    nested = InputTensor(datatype, shape, None, values.tolist()).images(memoryview(b""))
    for read in (binary, flat, nested):
        assert (read.dtype, read.shape) == (np.dtype(dtype), shape)
        np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    ("tensor", "binary", "says"),
    [
        (
            InputTensor("UINT8", (1, 784), 784, None),
            bytes(783),
            "784; expected that many bytes after the JSON, not 783.",
        ),
        (
            InputTensor("UINT8", (1, 784), None, [0] * 784),
            bytes(1),
            "0; expected that many bytes after the JSON, not 1.",
        ),
        (InputTensor("UINT8", (1, 784), 785, None), bytes(785), "has 785 bytes; expected 784 for shape [1, 784] of U"),
        (InputTensor("FP32", (1, 784), 784, None), bytes(784), "has 784 bytes; expected 3136 for shape [1, 784]"),
        (
            InputTensor("UINT8", (2, 784), None, [0]),
            b"",
            "images has size 1; expected 1568 for shape [2, 784].",
        ),
        (InputTensor("UINT8", (1, 784), None, [256] * 784), b"", "; expected integers from 0 to 255."),
        (InputTensor("UINT8", (1, 784), None, [-1] * 784), b"", "; expected integers from 0 to 255."),
        (InputTensor("UINT8", (1, 784), None, [0.5] * 784), b"", "; expected integers from 0 to 255."),
        (InputTensor("FP32", (1, 784), None, ["1"] * 784), b"", "; expected numbers."),
        (InputTensor("FP32", (1, 784), None, [None] * 784), b"", "; expected numbers."),
        (InputTensor("FP32", (1, 784), None, [10**400] * 784), b"", "; expected numbers."),
        (InputTensor("UINT8", (28, 28), None, [[0] * 28] * 27 + [[0] * 27]), b"", "has rows of different lengths"),
        (InputTensor("UINT8", (28, 28), None, [[0] * 28] * 27 + [0]), b"", "has rows of different lengths"),
        (InputTensor("UINT8", (2, 784), None, [[0, 0]] * 784), b"", "has rows of 2; expected those of shape [2, 784],"),
        (InputTensor("UINT8", (28, 784), None, [[0] * 28] * 784), b"", "has rows of 28; expected those of shape [28, "),
        (InputTensor("UINT8", (2, 28, 28), None, [[[0] * 14] * 56] * 2), b"", "has rows of 56, 14; expected those of"),
    ],
)
def test_data_that_does_not_match_the_shape(tensor, binary, says):
    with pytest.raises(InputError) as error:
        tensor.images(memoryview(binary))
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((2, 784), (2, 784)), ((2, 28, 28), (2, 784)), ((2, 1, 28, 28), (56, 28)), ((2, 28, 28), (1, 1568)),
     ((2, 28, 28), (2, 28, 28)), ((2, 1, 28, 28), (2, 784, 1)), ((28, 28), (1, 1, 28, 28)), ((2, 28, 28), (1568, 1))],
)  # fmt: skip
def test_rows_are_some_of_the_last_axes(shape, rows):
    values = PIXELS[: math.prod(shape) // 784]
    read = InputTensor("UINT8", shape, None, values.reshape(rows).tolist()).images(memoryview(b""))
    np.testing.assert_array_equal(read, values.reshape(shape))


def test_values_beyond_the_range_of_a_type_are_infinite():
    """The model rejects infinity with a message; a warning would stop a program that turns warnings into errors."""
    values = InputTensor("FP16", (1, 784), None, [1e6] * 784).images(memoryview(b""))
    assert np.isinf(values).all()


def test_no_images():
    for data in ([], [[]]):
        tensor = InputTensor("FP32", (0, 784), None, data)
        assert tensor.images(memoryview(b"")).shape == (0, 784)
    assert InputTensor("FP32", (0, 28, 28), 0, None).images(memoryview(b"")).shape == (0, 28, 28)


# ---- requests ------------------------------------------------------------------------------------------


def test_a_request_asks_for_all_outputs_by_default():
    request = parse_request(a_request(), 1)
    assert request == InferenceRequest(InputTensor("UINT8", (1, 784), None, [0] * 784), ALL, None, None)


def test_a_request_names_outputs():
    outputs = [
        {"name": "digit_score"}, {"name": "probabilities", "parameters": {"binary_data": False, "classification": 2}},
    ]  # fmt: skip
    parameters = {"binary_data_output": True, "reject_at": 0.01}
    request = parse_request(a_request(outputs=outputs, parameters=parameters, id="mine"), 1)
    expected = (OutputRequest("digit_score", True, 0), OutputRequest("probabilities", False, 2))
    assert request[1:] == (expected, 0.01, "mine")
    request = parse_request(a_request(parameters={"binary_data_output": True}), 1)
    assert request.outputs == tuple(each._replace(binary=True) for each in ALL)


def of_output(name="probabilities", **parameters):
    return {"outputs": [{"name": name, "parameters": parameters}]}


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ({"id": 7}, "id is 7; expected a string."),
        ({"parameters": {"rejekt_at": 1}}, "Unknown parameter 'rejekt_at'; expected binary_data_output or reject_at."),
        ({"parameters": {"reject_at": True}}, "reject_at is True; expected a number such as 0.002."),
        ({"parameters": {"reject_at": "low"}}, "reject_at is 'low'"),
        ({"parameters": {"binary_data_output": 1}}, "binary_data_output is 1; expected true or false."),
        (
            {"outputs": [{"name": "logit"}]},
            "Unknown output 'logit'; expected one of label, probabilities, digit_score.",
        ),
        ({"outputs": [{"name": "label"}, {"name": "label"}]}, "outputs names an output twice; expected each once."),
        (of_output(shared_memory_region="a"), "Shared memory is not supported. Read the data from the response."),
        (of_output(binary_data=1), "binary_data is 1; expected true or false."),
        (of_output(clasification=2), "Unknown parameter 'clasification'"),
        (of_output(classification=-1), "classification is -1; expected an integer of at least 0."),
        (of_output(classification=True), "classification is True"),
        (of_output(classification="2"), "classification is '2'"),
        (of_output("label", classification=1), "classification was given for the output 'label'; expected 'proba"),
    ],
)
def test_malformed_requests(rest, says):
    with pytest.raises(InputError) as error:
        parse_request(a_request(**rest), 1)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([], "inputs is missing or empty; expected the input 'images'."),
        ([an_entry(), an_entry()], "inputs has 'images' 2 times; expected exactly once."),
        ([an_entry(), *({"name": name} for name in "abcdef")], "Unknown input 'a', 'b', 'c', 'd', 'e'; expected 'im"),
    ],
)
def test_a_request_has_one_input(inputs, says):
    with pytest.raises(InputError) as error:
        parse_request(json.dumps({"inputs": inputs}).encode(), 1)
    assert says in str(error.value)


def test_integers_and_zero_are_rates_and_numbers_of_classes():
    assert parse_request(a_request(parameters={"reject_at": 0}), 1).reject_at == 0
    assert parse_request(a_request(**of_output("label", classification=0)), 1).outputs[0].num_classes == 0


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("rows", [784, (1, 784), (28, 28)])
def test_booleans_are_no_pixels(flag, rows):
    data = np.zeros(784, object)
    data[783] = flag
    with pytest.raises(InputError, match="contains true or false; expected numbers"):
        parse_request(a_request(an_entry(data=data.reshape(rows).tolist())), 1)


def test_a_request_has_as_many_values_as_its_images_have_pixels_and_a_thousand_more():
    """For two images, these are 2 * 784 + 1000. The values are one more than the commas."""

    def with_values(count):
        others = a_request(an_entry(shape=[2, 784], data=[0])).count(b",")
        return a_request(an_entry(shape=[2, 784], data=[0] * (count - others)))

    with pytest.raises(InputError, match=r"images has size \d+; expected 1568"):
        read_request(with_values(2568), None, Limits(batch=2))
    with pytest.raises(InputError, match="has at least 2,569 values; expected at most 2,568"):
        read_request(with_values(2569), None, Limits(batch=2))


def test_binary_data_follows_the_json():
    entry = an_entry(data=None, parameters={"binary_data_size": 784})
    assert parse_request(a_request(entry, id="true"), 1).id == "true"
    head = a_request(entry)
    request, images = read_request(head + PIXELS[:1].tobytes(), len(head), Limits())
    assert request.tensor == InputTensor("UINT8", (1, 784), 784, None)
    np.testing.assert_array_equal(images, PIXELS[:1])
    with pytest.raises(InputError, match="expected that many bytes after the JSON, not 0"):
        read_request(head, None, Limits())


@pytest.mark.parametrize("length", [0, -1, 10**6])
def test_the_length_of_the_json_is_at_most_that_of_the_body(length):
    body = a_request()
    with pytest.raises(InputError) as error:
        read_request(body, length, Limits())
    assert f"Length is {length}; expected 1 to {len(body)}, the size of the body." in str(error.value)
    assert read_request(body, len(body), Limits())[1].shape == (1, 784)
    with pytest.raises(InputError, match="is not JSON"):
        read_request(body, 1, Limits())


@pytest.mark.parametrize(("size", "is_kept"), [(512, True), (513, False)])
def test_a_short_header_is_parsed_once(size, is_kept):
    head = a_request(an_entry(data=None, parameters={"binary_data_size": 784})).ljust(size)
    first, second = (read_request(head + bytes(784), size, Limits())[0] for _ in range(2))
    assert first == second
    assert (first is second) == is_kept


# ---- responses -----------------------------------------------------------------------------------------


def served_of(**metadata):
    model = lenet.LeNet5(seed=0, num_classes=3)
    model.metadata.update(metadata)
    return Served("three", model)


P = np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25], [0.3, 0.3, 0.4]])
SCORES = [
    1 - math.exp((sum(map(math.log, row)) / 3 - math.log(max(row))) / 3) for row in P.tolist()
]  # 0.30, 0.14 and 0.06
CALIBRATED = {"min_digit_score": "0.1", "margins": '{"0.01": 1, "0.1": 0.5}'}


def written(served, p, outputs=ALL, reject_at=None, request_id=None):
    request = InferenceRequest(InputTensor("FP64", p.shape, None, []), outputs, reject_at, request_id)
    return write_response(served, request, p)


@pytest.mark.parametrize(
    ("metadata", "reject_at", "labels", "accepted"),
    [
        ({}, None, [0, 1, 2], [0, 1, 2]),
        (CALIBRATED, None, [0, 1, 2], [0, 1, -1]),
        (CALIBRATED, 0.1, [0, 1, -1], [0, 1, -1]),
        (CALIBRATED, 0.05, [0, -1, -1], [0, -1, -1]),
    ],
)
def test_the_labels_of_a_response_and_those_that_are_accepted(metadata, reject_at, labels, accepted):
    served = served_of(**metadata)
    for rows in ([0, 1, 2], [0], [1], [2], [2, 1]):
        for outputs in (ALL, ALL[:2]):
            text, length, counted = written(served, P[rows], outputs, reject_at)
            response = json.loads(text)
            assert (length, counted) == (None, [accepted[k] for k in rows])
            assert (response["model_name"], response["model_version"]) == ("three", served.version)
            label, probabilities, *score = response["outputs"]
            assert label == {
                "name": "label",
                "datatype": "INT64",
                "shape": [len(rows)],
                "data": [labels[k] for k in rows],
            }
            assert (probabilities["datatype"], probabilities["shape"]) == ("FP64", [len(rows), 3])
            assert probabilities["data"] == P[rows].ravel().tolist()
            if score:
                assert (score[0]["datatype"], score[0]["shape"]) == ("FP64", [len(rows)])
                assert score[0]["data"] == pytest.approx([SCORES[k] for k in rows])
            assert "id" not in response


@pytest.mark.parametrize(("score", "p"), [
    (score, p) for score in (0.0, 0.2, 0.4, 1.0)
    for p in ([1, 0, 0], [0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [1 / 3, 1 / 3, 1 / 3])
    if score or p[0] != 1 / 3  # or else rounding decides
])  # fmt: skip
def test_one_image_is_accepted_by_the_same_rule_as_several(score, p):
    """The scores are 1, 1 - 2 ** (-2 / 9) = 0.14, 1 - 8 ** (-2 / 9) = 0.37 and 0."""
    expected = {1: 1, 0.5: 0.143, 0.1: 0.370}.get(p[0], 0)
    served = served_of(min_digit_score=str(score))
    assert served.accepted_label(p) == (p.index(max(p)) if expected >= score else -1)


def test_a_rate_without_a_threshold_is_an_error_although_no_label_is_requested():
    with pytest.raises(InputError, match="threshold"):
        written(served_of(), P, ALL[1:2], 0.1)


def test_binary_outputs_follow_the_json_in_their_order():
    outputs = (
        OutputRequest("digit_score", True), OutputRequest("label", False), OutputRequest("probabilities", True),
    )  # fmt: skip
    content, length, _ = written(served_of(), P.astype(np.float32), outputs, request_id="mine")
    response = json.loads(content[:length])
    score, label, probabilities = response["outputs"]
    assert response["id"] == "mine"
    assert score["parameters"] == {"binary_data_size": 24}
    assert probabilities["parameters"] == {"binary_data_size": 36}
    assert ("data" in score, label["data"], "parameters" in label) == (False, [0, 1, 2], False)
    assert len(content) == length + 24 + 36
    np.testing.assert_allclose(np.frombuffer(content[length : length + 24], "<f8"), SCORES, rtol=1e-6)
    np.testing.assert_array_equal(np.frombuffer(content[length + 24 :], "<f4").reshape(3, 3), P.astype(np.float32))


@pytest.mark.parametrize(("order", "values"), [("<", [7, -1]), (">", [258, 3])])
def test_binary_numbers_are_little_endian(order, values):
    entry, content = encode_output(OutputRequest("label", True), np.array(values, f"{order}i8"))
    assert content == struct.pack("<2q", *values)
    assert entry["datatype"] == "INT64"


@pytest.mark.parametrize(
    ("count", "names", "expected"),
    [
        (1, None, ["0.700000:0", "0.500000:1", "0.400000:2"]),
        (2, ["a", "b", "c"], ["0.700000:0:a", "0.200000:1:b", "0.500000:1:b", "0.250000:0:a", "0.400000:2:c",
                              "0.300000:0:a"]),
        (9, None, ["0.700000:0", "0.200000:1", "0.100000:2", "0.500000:1", "0.250000:0", "0.250000:2", "0.400000:2",
                   "0.300000:0", "0.300000:1"]),
    ],
)  # fmt: skip
def test_the_best_classes_of_each_row(count, names, expected):
    """Of equal probabilities, the lower class is first."""
    entry, content = encode_output(OutputRequest("probabilities", False, count), P, names)
    shape = [3, min(count, 3)]
    assert entry == {"name": "probabilities", "datatype": "BYTES", "shape": shape, "data": expected}
    assert content == b""
    entry, content = encode_output(OutputRequest("probabilities", True, count), P, names)
    assert content == b"".join(len(text).to_bytes(4, "little") + text.encode() for text in expected)
    assert entry["parameters"] == {"binary_data_size": len(content)}


def test_class_names_are_counted_in_bytes():
    _, content = encode_output(OutputRequest("probabilities", True, 1), np.array([[0.1, 0.9]]), ["a", "\u00e9\u25b3"])
    assert content == b"\x10\0\0\0" + b"0.900000:1:" + b"\xc3\xa9" + b"\xe2\x96\xb3"
