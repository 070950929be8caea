"""The page and the model document inside it, without a browser; other test files drive them in Chromium."""

import base64
import graphlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

import lenet
from lenet.serving import page as package
from lenet.serving.page import MARK, content_security_policy, model_document, page_html
from lenet.serving.page.assembly import assembled


@pytest.fixture(scope="module")
def model():
    return lenet.load_pretrained("mnist")


def test_the_document_contains_the_parameters(model):
    document = json.loads(json.dumps(model_document(model, "mnist", "7")))
    assert (document["name"], document["version"], document["num_classes"]) == ("mnist", "7", 10)
    for name, value in model.parameters.items():
        entry = document["parameters"][name]
        stored = np.frombuffer(base64.b64decode(entry["data"]), "<f4").reshape(entry["shape"])
        np.testing.assert_array_equal(stored, value)
    assert document["thresholds"] == json.loads(model.metadata["margins"])
    assert document["min_digit_score"] == float(model.metadata["min_digit_score"])


def test_a_model_that_was_not_calibrated_rejects_nothing():
    document = model_document(lenet.LeNet5(seed=0, dtype="float64"), "fresh", "1")
    assert (document["dtype"], document["thresholds"], document["min_digit_score"]) == ("float64", {}, 0)


def test_the_document_contains_the_class_names(model):
    assert model_document(model, "mnist", "1")["classes"] == list("0123456789")
    named = lenet.LeNet5(seed=0, num_classes=2)
    named.classes = ("</script>", "Dreieck \u25b3")
    assert model_document(named, "named", "1")["classes"] == ["</script>", "Dreieck \u25b3"]


def test_no_text_of_a_model_ends_its_element():
    model = lenet.LeNet5(seed=0)
    model.metadata["note"] = "</script><script>alert(1)</script><!--"
    page = page_html(model_document(model, "</script>", "1"))
    assert page.count(b"</script>") == page_html().count(b"</script>") + 1
    assert MARK in page[:1000]


def test_the_page_contains_nothing_that_its_policy_forbids():
    page = page_html().decode()
    assert content_security_policy(page.encode()).count("'sha256-") == 2
    for forbidden in (' style="', " onclick=", '<link rel="stylesheet', 'src="http', "import "):
        assert forbidden not in page
    assert page.count("<script") == page.count("<style>") == 1


def test_the_script_consists_of_all_modules_each_after_its_imports():
    parts = Path(package.__file__).parent / "parts"
    if not parts.exists():
        pytest.skip("needs the sources of the page")
    modules = {path.name: path.read_text("utf-8") for path in parts.glob("*.mjs")}
    imports = {name: re.findall(r'from "\./(.*)";', text) for name, text in modules.items()}
    assert set(graphlib.TopologicalSorter(imports).static_order()) == set(modules)  # raises CycleError
    page = page_html().decode()
    name_of = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
    names = [name for text in modules.values() for name in name_of.findall(text)]
    assert len(names) == len(set(names))
    definition = re.compile(r"^(?:export )?((?:async )?(?:function|class) \w+)\b", re.MULTILINE)
    definitions = {name: definition.findall(text) for name, text in modules.items()}
    for name, lines in definitions.items():
        for line in lines:
            assert len(re.findall(rf"^{line}\b", page, re.MULTILINE)) == 1
        for imported in imports[name]:
            assert page.index(f"\n{definitions[imported][-1]}") < page.index(f"\n{lines[0]}")


@pytest.mark.parametrize(
    ("part", "text", "left"),
    [
        ("style.css", "/* a */\nb {}  /* c */\n", "b {}\n"),
        ("style.css", "/* a */ b {} /* c */\n", "/* a */ b {}\n"),
        ("style.css", "b { c: url( // d\n", "b { c: url( // d\n"),
        ("style.css", "@media x {\n  b {} /* c */\n}\n", "@media x {\nb {}\n}\n"),
        ("main.mjs", "// a\n  // b\nc(); // the page's d\n", "c();\n"),
        ("main.mjs", 'a("b // c");\na(`b // c`);\na("b /* c */");\n', 'a("b // c");\na(`b // c`);\na("b /* c */");\n'),
        ("page.html", "<p>a // b\n  /* c */\n", "<p>a // b\n/* c */\n"),
    ],
)
def test_the_assembled_page_lacks_comments_of_style_and_script_only(tmp_path, part, text, left):
    for name in ("style.css", "main.mjs"):
        (tmp_path / name).write_text("")
    (tmp_path / "page.html").write_text("/* style */\n// script\n")
    with (tmp_path / part).open("a") as file:
        file.write(text)
    assert assembled(tmp_path) == left
