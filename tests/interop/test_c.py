"""The C export, compiled by every available compiler, against lenet's predictions."""

import ctypes
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from toolchain import makes_programs_for_this_machine

import lenet
from lenet.errors import InputError
from lenet.interop import to_c
from lenet.interop.c_source import _string

COMPILERS = ["gcc", pytest.param("clang", marks=pytest.mark.landing)]
STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O2"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="for gcc and clang")


def compiled(compiler, model, folder, name="digits"):
    """The functions of the C file, as a shared library."""
    if not makes_programs_for_this_machine(compiler):
        pytest.skip(f"there is no {compiler} for this machine")
    source, header = to_c(model, name)
    (folder / f"{name}.c").write_text(source)
    (folder / f"{name}.h").write_text(header)
    library = folder / f"{name}.so"
    command = [compiler, *STRICT, "-fPIC", "-shared", folder / f"{name}.c", "-o", library, "-lm"]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def outcome(library, images, num_classes, name="digits"):
    """The label, logits and probabilities of each image."""
    logits, probabilities = (np.full((len(images), num_classes), np.nan, np.float32) for _ in range(2))
    labels = np.zeros(len(images), int)
    for n, image in enumerate(np.ascontiguousarray(images)):
        getattr(library, f"{name}_logits")(pointer(image), pointer(logits[n]))
        getattr(library, f"{name}_probabilities")(pointer(image), pointer(probabilities[n]))
        labels[n] = getattr(library, f"{name}_predict")(pointer(image))
    return labels, logits, probabilities


@pytest.mark.release
@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_same_10_000_predictions(compiler, mnist, tmp_path):
    model = lenet.load_pretrained("mnist")
    labels, logits, probabilities = outcome(compiled(compiler, model, tmp_path), mnist.X_test, 10)
    np.testing.assert_array_equal(labels, model.predict(mnist.X_test))
    np.testing.assert_allclose(probabilities, model.predict_proba(mnist.X_test), atol=1e-5)
    np.testing.assert_allclose(logits, model.logits(mnist.X_test), atol=1e-4)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_source_beside_the_header_of_other_classes_does_not_compile(compiler, tmp_path):
    """A crash between the two files could leave them so; the program would compute only some of the classes."""
    compiled(compiler, lenet.LeNet5(seed=0, num_classes=3), tmp_path)
    (tmp_path / "digits.c").write_text(to_c(lenet.LeNet5(seed=0), "digits")[0])
    done = subprocess.run([compiler, "-c", "digits.c"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "digits.h belongs to a network with another number of classes" in done.stderr


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(("dtype", "num_classes"), [("float32", 2), ("float64", 26)])
def test_other_models(compiler, dtype, num_classes, tmp_path):
    model = lenet.LeNet5(seed=2, dtype=dtype, num_classes=num_classes)
    model.parameters["f6.bias"][:3] = [1e-42, -200, 200]  # a denormal number, and sigmoids that are 0 and 1
    images = np.random.default_rng(0).integers(0, 256, (9, 28, 28), dtype=np.uint8)
    labels, _, probabilities = outcome(compiled(compiler, model, tmp_path, "letters"), images, num_classes, "letters")
    np.testing.assert_array_equal(labels, model.predict(images))
    np.testing.assert_allclose(probabilities, model.predict_proba(images), atol=1e-5)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_model_that_standardises_each_image(compiler, tmp_path):
    model = lenet.load_pretrained("mnist")
    model.std = None
    noise = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    images = np.concatenate([noise, 100 + noise // 8, 200 + noise // 128, noise[:1] * 0])
    _, logits, probabilities = outcome(compiled(compiler, model, tmp_path), images, 10)
    np.testing.assert_allclose(logits, model.logits(images), atol=1e-4)
    np.testing.assert_allclose(probabilities, model.predict_proba(images), atol=1e-5)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_large_logits_do_not_overflow(compiler, tmp_path):
    model = lenet.LeNet5(seed=0, num_classes=3)
    model.parameters["output.weight"] = 0
    model.parameters["output.bias"] = [1000, 999, -1000]
    library = compiled(compiler, model, tmp_path)
    _, _, probabilities = outcome(library, np.zeros((1, 28, 28), np.uint8), 3)
    np.testing.assert_allclose(probabilities, [[0.7310586, 0.2689414, 0]], rtol=1e-6)  # 1 / (1 + exp(-1))


@pytest.mark.parametrize("compiler", COMPILERS)
def test_expf_is_the_only_library_function_used(compiler, tmp_path):
    compiled(compiler, lenet.LeNet5(seed=0), tmp_path)
    subprocess.run([compiler, *STRICT, "-c", "digits.c"], cwd=tmp_path, check=True)
    undefined = subprocess.run(
        ["nm", "--undefined-only", "digits.o"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert set(re.findall(r"U (\w+)", undefined)) - {"_GLOBAL_OFFSET_TABLE_", "memset"} == {"expf"}


NAMES = (
    *("triangle", 'say "hi"', "back\\slash", "a\\nb", "%s", "what??/", "??=", "*/", "//", "Dreieck \u25b3"),
    *("\u00e97", "\u00e9a", "\U0001f600", "lenet", "'", "\u65e5\u672c\u8a9e"),
)


@pytest.mark.parametrize("compiler", [*COMPILERS, pytest.param("g++", marks=pytest.mark.landing)])
def test_a_program_prints_the_names_of_the_classes(compiler, tmp_path):
    if not makes_programs_for_this_machine(compiler):
        pytest.skip(f"there is no {compiler} for this machine")
    model = lenet.LeNet5(seed=0, num_classes=len(NAMES))
    model.classes = NAMES
    compiled("gcc" if compiler == "g++" else compiler, model, tmp_path)
    subprocess.run(["cc", *STRICT, "-trigraphs", "-c", "digits.c"], cwd=tmp_path, check=True)
    main = tmp_path / ("main.cc" if compiler == "g++" else "main.c")
    main.write_text(
        '#include "digits.h"\n#include <stdio.h>\n'
        "int main(void) { for (int k = 0; k < digits_CLASSES; k++) puts(digits_class_names[k]); return 0; }\n"
    )
    subprocess.run([compiler, main.name, "digits.o", "-lm", "-o", "main"], cwd=tmp_path, check=True)
    printed = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, check=True).stdout.decode()
    assert tuple(printed.splitlines()) == NAMES


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("a ~\x7f", "a ~\x7f"),
        ('"?\\', '\\"\\?\\\\'),
        ("\u00e97", r"\303\2517"),  # the UTF-8 bytes C3 A9, in octal
        ("\U0001f600", r"\360\237\230\200"),  # F0 9F 98 80
    ],
)
def test_strings_of_c_are_ascii(text, literal):
    assert _string(text) == f'"{literal}"'


def test_two_models_in_one_program(tmp_path):
    if not makes_programs_for_this_machine("gcc"):
        pytest.skip("there is no gcc for this machine")
    for seed, name in enumerate(("one", "two")):
        source, header = to_c(lenet.LeNet5(seed=seed), name)
        (tmp_path / f"{name}.c").write_text(source)
        (tmp_path / f"{name}.h").write_text(header)
    (tmp_path / "main.cc").write_text(
        '#include "one.h"\n#include "two.h"\n#include "two.h"\n#include <cstdio>\n'
        "static const unsigned char image[784] = {1, 2, 3};\n"
        'int main() { std::printf("%d %d\\n", one_predict(image), two_predict(image)); }\n'
    )
    subprocess.run(["gcc", *STRICT, "-c", "one.c", "two.c"], cwd=tmp_path, check=True)
    if shutil.which("g++"):  # the header is for C++ too
        subprocess.run(["g++", "main.cc", "one.o", "two.o", "-lm", "-o", "main"], cwd=tmp_path, check=True)
        said = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        image = np.zeros((28, 28), np.uint8)
        image[0, :3] = [1, 2, 3]
        assert said.split() == [str(lenet.LeNet5(seed=seed).predict(image)[0]) for seed in range(2)]


def test_the_weights_are_bit_identical():
    model = lenet.load_pretrained("mnist")
    source, _ = to_c(model)
    for name, value in model.parameters.items():
        array = re.search(rf"{name.replace('.', '_').upper()}\[(\d+)\] = \{{.*?\n(.*?)\}};", source, re.DOTALL)
        literals = [float.fromhex(each.strip()[:-1]) for each in array[2].split(",") if each.strip()]
        assert int(array[1]) == len(literals)
        np.testing.assert_array_equal(np.array(literals, np.float32), value.ravel())


def test_the_metadata_is_in_the_header_and_cannot_leave_its_comment():
    model = lenet.load_pretrained("mnist")
    assert f"test_accuracy: {model.metadata['test_accuracy']}" in to_c(model)[1]
    model.metadata = {"note": "*/ int evil; /* \n#error é"}
    _, header = to_c(model)
    assert "int evil" in header
    assert "evil" not in re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    assert header.isascii()


def test_the_header_has_no_trigraphs():
    model = lenet.LeNet5(seed=0)
    model.metadata = {"note": "???/"}
    assert "note: ? ? ?/" in to_c(model)[1]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_metadata_causes_a_compiler_warning(compiler, tmp_path):
    model = lenet.LeNet5(seed=0)
    model.metadata = {"a": "https://日本/", "b": "??/", "c": "back\\", "d": "/* //"}
    compiled(compiler, model, tmp_path)


@pytest.mark.parametrize("change", ["weight", "std"])
def test_numbers_that_overflow_float32_are_refused(change):
    model = lenet.LeNet5(seed=0, dtype="float64")
    if change == "weight":
        model.parameters["f6.bias"][3] = 1e39
    else:
        model.std = 1e-40
    with pytest.raises(InputError, match="not finite in float32"):
        to_c(model)


def test_only_a_model_is_written():
    with pytest.raises(lenet.errors.InputTypeError, match="model is of type dict; expected a LeNet5"):
        to_c({})
    model = lenet.LeNet5(seed=0)
    model.metadata = {"epochs": 3}
    with pytest.raises(lenet.errors.InputTypeError, match=r"metadata is .* expected a mapping of str to str"):
        to_c(model)


@pytest.mark.parametrize("name", ["generated", "lenet_lenet", "h"])
def test_the_name_changes_only_the_prefix(name):
    model = lenet.load_pretrained("mnist")
    texts = to_c(model, name)
    assert texts == tuple(text.replace("placeholder", name) for text in to_c(model, "placeholder"))
    assert f"lenet: {model.metadata['lenet']}\n" in texts[1]


def test_names_that_differ_in_case_only():
    headers = [to_c(lenet.LeNet5(seed=0), name)[1] for name in ("Dig", "dig")]
    macros = [set(re.findall(r"#define (\w+)", header)) for header in headers]
    assert len(macros[0]) == 2
    assert not macros[0] & macros[1]


@pytest.mark.parametrize("name", ["math", "Math", "stdint"])
def test_headers_of_c_itself(name):
    with pytest.raises(InputError, match="is a standard C header"):
        to_c(lenet.LeNet5(seed=0), name)


@pytest.mark.parametrize("name", ["", "1st", "a-b", "a b", "a/../b", "x" * 40, "été", "a\n"])
def test_names_that_c_does_not_know(name):
    with pytest.raises(InputError, match="expected at most 31 letters, digits and underscores"):
        to_c(lenet.LeNet5(seed=0), name)
