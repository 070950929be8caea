"""Model files of a few small tensors: what is written and read, and the limits of both."""

from pathlib import Path

import numpy as np
import pytest

from lenet import LeNet5, LeNet1998, load, load_pretrained
from lenet.errors import InputError, InputTypeError, WeightsError
from lenet.loading import given_model, network_class
from lenet.weights import files
from lenet.weights.container import read_tensors, to_bytes
from lenet.weights.files import ModelFile

FLOATS = [np.float16, np.float32, np.float64]


def outputs(classes=3, dtype=np.float32):
    return {"output.weight": np.ones((classes, 2), dtype), "output.bias": np.zeros(classes, dtype)}


def metadata(**changes):
    """The metadata of a file of these outputs, without those that are None."""
    whole = {"format": "lenet-1", "num_classes": "3", "mean": "0.5", "std": "2.0"} | changes
    return {name: value for name, value in whole.items() if value is not None}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def read(path, tensors, stored_metadata):
    path.write_bytes(to_bytes(tensors, stored_metadata))
    return ModelFile.read(path)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("mean", "std", "stored"),
    [(0.1, 0.3, ("0.1", "0.3")), (np.float32(0.5), 2, ("0.5", "2.0")), (None, None, ("image", "image"))],
)
def test_a_file_is_written_and_read_again(path, dtype, mean, std, stored):
    ModelFile(outputs(dtype=dtype), mean, std, {"by": "hand"}).write(path)
    tensors, stored_metadata = read_tensors(path)
    assert stored_metadata == {**metadata(mean=stored[0], std=stored[1]), "by": "hand"}
    found = ModelFile.read(path)
    assert (found.mean, found.std, found.metadata, found.network) == (mean, std, {"by": "hand"}, None)
    assert (found.dtype, found.num_classes) == (dtype, 3)
    for name, value in outputs(dtype=dtype).items():
        np.testing.assert_array_equal(found.tensors[name], value)
        assert tensors[name].dtype == dtype


def test_the_network_of_1998_has_no_biases_of_its_outputs(path):
    tensors = {"output.weight": np.ones((3, 2), np.float32)}
    ModelFile(tensors, 0.0, 1.0, {}, "1998").write(path)
    assert read_tensors(path)[1]["network"] == "1998"
    assert ModelFile.read(path).network == "1998"
    with pytest.raises(WeightsError, match=r"has the network '2020'; expected 1998\. Update lenet\."):
        read(path, outputs(), metadata(network="2020"))
    with pytest.raises(WeightsError, match=r"has no output\.bias; expected 3 classes"):
        read(path, tensors, metadata())


def test_large_tensors_of_half_precision_are_stored_as_integers(path):
    tensors = outputs(dtype=np.float16) | {"f6.weight": np.full((50, 20), 0.5, np.float16)}
    ModelFile(tensors, 0.0, 1.0, {}).write(path)
    stored, stored_metadata = read_tensors(path)
    assert (stored["f6.weight"].dtype, stored_metadata["steps"]) == (np.int8, '{"f6.weight": 0.0078125}')
    np.testing.assert_array_equal(ModelFile.read(path).tensors["f6.weight"], tensors["f6.weight"])
    ModelFile({name: np.float32(value) for name, value in tensors.items()}, 0.0, 1.0, {}).write(path)
    assert "steps" not in read_tensors(path)[1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("dtype", "advice"), [(np.float16, "Save them with half=False, or train"), (np.float32, "Tr")])
def test_numbers_that_are_not_finite_are_not_written(path, value, dtype, advice):
    tensors = outputs(dtype=dtype)
    tensors["output.bias"][-1] = value
    with pytest.raises(InputError, match=rf"not finite in {np.dtype(dtype)}; expected finite weights\. {advice}"):
        ModelFile(tensors, 0.0, 1.0, {}).write(path)
    assert not path.exists()


@pytest.mark.parametrize("key", ["format", "network", "num_classes", "mean", "std", "steps", "lenet_sha256"])
def test_the_names_of_the_file_are_reserved(path, key):
    with pytest.raises(InputError, match=f"^metadata has the reserved key {key}. Choose another name"):
        ModelFile(outputs(), 0.0, 1.0, {key: "1", "other": "2"}).write(path)


@pytest.mark.parametrize("classes", [2, 100_000])
def test_2_to_100_000_classes_are_written_and_read(path, classes):
    ModelFile(outputs(classes, np.float16), 0.0, 1.0, {}).write(path)
    assert ModelFile.read(path).num_classes == classes


def test_more_classes_are_neither_written_nor_read(path):
    with pytest.raises(InputError, match="and 100,001 classes; expected at most"):
        ModelFile(outputs(100_001, np.float16), 0.0, 1.0, {}).write(path)
    for classes in (1, 100_001):
        with pytest.raises(
            WeightsError, match=rf"has num_classes {classes}, mean 0\.5 and std 2\.0; expected 2 to 100,"
        ):
            read(path, outputs(classes, np.float16), metadata(num_classes=str(classes)))


@pytest.mark.parametrize("limit", ["MAX_FILE_BYTES", "MAX_HEADER_BYTES"])
def test_a_file_as_large_as_the_limit_is_written(path, monkeypatch, limit):
    ModelFile(outputs(), 0.0, 1.0, {}).write(path)
    size = path.stat().st_size
    if limit == "MAX_HEADER_BYTES":
        size -= sum(value.nbytes for value in outputs().values())
    monkeypatch.setattr(files, limit, size)
    ModelFile(outputs(), 0.0, 1.0, {}).write(path)
    monkeypatch.setattr(files, limit, size - 1)
    with pytest.raises(InputError, match=f"; expected at most .*{size - 1:,}"):
        ModelFile(outputs(), 0.0, 1.0, {}).write(path)


@pytest.mark.parametrize(("mean", "std"), [("-1e300", "5e-324"), ("0", "1e300"), ("image", "image")])
def test_any_finite_mean_and_positive_std_are_read(path, mean, std):
    found = read(path, outputs(), metadata(mean=mean, std=std))
    expected = (None, None) if mean == "image" else (float(mean), float(std))
    assert (found.mean, found.std) == expected


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mean": "inf"}, "has num_classes 3, mean inf and std 2.0; expected"),
        ({"mean": "nan"}, "mean nan"),
        ({"std": "0"}, "std 0.0"),
        ({"std": "-1"}, "std -1.0"),
        ({"std": "inf"}, "std inf"),
        ({"std": "nan"}, "std nan"),
        ({"mean": "image"}, "lacks a valid num_classes, mean, std or steps"),
        ({"std": "image"}, "lacks a valid num_classes, mean, std or steps"),
        ({"num_classes": "x"}, "lacks a valid num_classes, mean, std or steps"),
        ({"num_classes": "2"}, "has output.weight of shape (3, 2); expected 2 classes"),
        ({"format": "lenet-2"}, "has the format 'lenet-2'; expected 'lenet-1'"),
        ({"steps": "[]"}, "lacks a valid num_classes, mean, std or steps"),
        ({"format": None}, "has the format None; expected 'lenet-1'"),
        ({"num_classes": None}, "lacks a valid num_classes, mean, std or steps"),
        ({"mean": None}, "lacks a valid num_classes, mean, std or steps"),
        ({"std": "wide"}, "lacks a valid num_classes, mean, std or steps"),
    ],
)
def test_other_metadata_are_rejected(path, changes, says):
    with pytest.raises(WeightsError) as error:
        read(path, outputs(), metadata(**changes))
    assert says in str(error.value)


def test_weights_have_one_floating_type(path):
    mixed = outputs() | {"c1.bias": np.zeros(1, np.float64)}
    with pytest.raises(WeightsError, match="has weights of dtype float32, float64; expected one dtype"):
        read(path, mixed, metadata())
    with pytest.raises(WeightsError, match="has weights of dtype int32; expected one dtype"):
        read(path, outputs(dtype=np.int32), metadata())
    for tensors in ({"output.weight": np.array(1, np.float32)}, {"output.weight": np.ones((2, 3), np.float32)}):
        with pytest.raises(WeightsError, match=r"has output\.weight of shape \(.*\); expected 3 classes"):
            read(path, outputs() | tensors, metadata())


def test_pretrained_models_are_known_by_name():
    found = ModelFile.read_pretrained("mnist")
    assert (found.num_classes, found.dtype) == (10, np.float16)
    for name in ("MNIST", "", None, 3, ["mnist"]):
        with pytest.raises(InputError, match=r"is not a pre-trained model; expected mnist\. Load a file"):
            ModelFile.read_pretrained(name)


def test_a_model_is_given_as_an_object_a_name_or_a_path(tmp_path):
    model, path = LeNet5(seed=1), tmp_path / "mine.safetensors"
    model.save(path)
    assert given_model(model) is model
    for given in (path, str(path)):
        np.testing.assert_array_equal(given_model(given).parameters.flat, model.parameters.flat)
    np.testing.assert_array_equal(given_model("mnist").parameters.flat, load_pretrained().parameters.flat)
    assert given_model("mnist") is given_model("mnist")
    for other in (None, 3, LeNet5):
        with pytest.raises(InputTypeError, match=r'^model is .*; expected a LeNet5, the name of one, such as "mnist",'):
            given_model(other)


def test_the_class_of_a_network_is_known_by_its_name_in_files():
    assert network_class(None) is LeNet5
    assert network_class("1998") is LeNet1998
    with pytest.raises(InputError, match=r'^network is \'2020\'; expected "1998" or None\.$'):
        network_class("2020")


@pytest.mark.parametrize(("suffix", "reader"), [(".onnx", "from_onnx"), (".pt", "from_torch"), (".PTH", "from_torch")])
def test_files_of_other_programs_are_named_with_their_reader(tmp_path, suffix, reader):
    path = tmp_path / f"model{suffix}"
    with pytest.raises(FileNotFoundError):
        load(path)
    path.write_bytes(b"weights")
    says = rf"is not a readable safetensors file\. If it is an ONNX or PyTorch file, call lenet\.interop\.{reader}\.$"
    with pytest.raises(WeightsError, match=says):
        load(path)
    LeNet5(seed=0).save(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").replace(path)
    assert load(path).num_classes == 10


def test_the_minimum_digit_score_of_an_earlier_version_is_converted(path):
    """With two classes, a score of 1 - entropy / log 2 = 0.531 is a probability of 0.9: the lead is log(9) / 2."""
    old = 1 + (0.9 * np.log2(0.9) + 0.1 * np.log2(0.1))
    known = read(path, outputs(2), metadata(num_classes="2", least_digit_score=str(old), seed="1")).metadata
    assert known == {"min_digit_score": known["min_digit_score"], "seed": "1"}
    assert float(known["min_digit_score"]) == pytest.approx(1 - 9 ** (-1 / 6), rel=1e-3)


@pytest.mark.parametrize("name", ["model.onnx", "model.PT", "c.pkl", "model", ".safetensors"])
def test_another_suffix_is_an_error_before_anything_is_written(tmp_path, name):
    path = tmp_path / name
    path.write_text("mine")
    with pytest.raises(InputError, match=r"^path is .*; expected a name that ends in \.safetensors\. `lenet export`"):
        LeNet5(seed=0).save(path)
    assert path.read_text() == "mine"


def test_the_suffix_may_be_in_capitals(tmp_path):
    LeNet5(seed=0).save(tmp_path / "MODEL.SAFETENSORS")
    assert load(tmp_path / "MODEL.SAFETENSORS").num_classes == 10


def test_the_name_of_a_pretrained_model_is_no_path(cwd):
    with pytest.raises(InputError, match=r'^mnist does not exist.*Call lenet\.load_pretrained\("mnist"\)\.$'):
        load("mnist")
    LeNet5(seed=0).save("m.safetensors")
    Path("m.safetensors").rename("mnist")
    assert load("mnist").metadata == {}
