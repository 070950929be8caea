"""The arithmetic of the page under node, against lenet and against central differences."""

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from page_actions import STAGES

import lenet
from lenet.rejection import digit_score
from lenet.serving import page
from lenet.serving.page import model_document

NODE = shutil.which("node")
PARTS = Path(page.__file__).parent / "parts"
pytestmark = pytest.mark.skipif(not NODE or not PARTS.exists(), reason="needs node, and the sources of the page")
MODULES = ["network.mjs", "learning.mjs", "pixels.mjs", "strokes.mjs", "state.mjs", "units.mjs"]  # without a document


def run(body, **values):
    """Run JavaScript that uses the names of MODULES and the given values, and return its result."""
    program = f"""
        import {{ readFileSync, writeFileSync }} from "node:fs";
        const uris = {json.dumps([(PARTS / name).as_uri() for name in MODULES])};
        const modules = await Promise.all(uris.map((uri) => import(uri)));
        const names = Object.assign({{}}, ...modules, JSON.parse(readFileSync(0)));
        const work = new Function(...Object.keys(names), {json.dumps(body)});
        writeFileSync(1, JSON.stringify(work(...Object.values(names))));
    """
    command = [NODE, "--input-type=module", "--eval", program]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def model():
    return lenet.load_pretrained("mnist")


@pytest.fixture(scope="module")
def digits():
    return lenet.data.load_digits().X_test[:4].reshape(-1, 28, 28)


def passes(model, images):
    """Return what the page computes from images: a list of values for each stage, and the logits."""
    body = """
        const model = modelOf(document);
        return images.map((image) => {
          const outputs = forward(model, image);
          return { ...Object.fromEntries(Object.entries(outputs).map(([name, { values }]) => [name, [...values]])),
            logits: [...outputs.output.sums] };
        });
    """
    return run(body, document=model_document(model, "m", "1"), images=images.reshape(len(images), -1).tolist())


@pytest.mark.parametrize("kind", ["shipped", "float64 with 26 classes", "standardised per image"])
def test_the_page_computes_the_same_as_lenet(model, digits, kind):
    if kind != "shipped":
        model = lenet.LeNet5(seed=1, dtype="float64", num_classes=26)
        model.mean, model.std = (0.1, 0.3) if kind.startswith("float64") else (None, None)
    images = np.concatenate([digits, np.zeros((1, 28, 28), np.uint8), np.full((1, 28, 28), 255, np.uint8)])
    activations, logits = model.activations(images), model.logits(images)
    for k, own in enumerate(passes(model, images)):
        np.testing.assert_allclose(own["output"], model.predict_proba(images[k])[0], atol=1e-5, rtol=0)
        np.testing.assert_allclose(own["logits"], logits[k], atol=1e-5, rtol=1e-5)
        for name in STAGES[:-1]:
            np.testing.assert_allclose(own[name], activations[name][k].ravel(), atol=1e-5, rtol=0, err_msg=name)


def test_a_model_without_a_mean_standardises_each_image():
    pixels = np.random.default_rng(0).random(784)
    values = run("return standardise({ mean: null, std: null }, pixels)", pixels=pixels.tolist())
    np.testing.assert_allclose(values, (pixels - pixels.mean()) / np.sqrt(pixels.var() + 1e-5), atol=1e-12)


@pytest.mark.parametrize("is_per_image", [False, True])
def test_pixel_gradients_agree_with_central_differences(model, digits, is_per_image):
    document = model_document(model, "m", "1")
    if is_per_image:
        document["mean"] = document["std"] = None
    body = """
        const model = modelOf(document);
        const gradient = towards(model, image, forward(model, image), 3);
        return places.map((place) => {
          const at = (step) => {
            const { sums } = forward(model, image.map((pixel, i) => pixel + (i === place ? 255 * step : 0))).output;
            return sums[3] - Math.max(...sums.filter((_, k) => k !== 3));
          };
          return [gradient[place], (at(1e-5) - at(-1e-5)) / 2e-5];
        });
    """
    pairs = run(body, document=document, image=digits[0].ravel().tolist(), places=[0, 200, 350, 406, 500])
    own, wanted = np.transpose(pairs)
    assert np.abs(wanted).max() > 0.01
    np.testing.assert_allclose(own, wanted, rtol=1e-4, atol=1e-6)


def test_steps_along_the_gradient_change_the_answer(model, digits):
    body = """
        const model = modelOf(document);
        return targets.map((target) => {
          let pixels = image;
          for (let k = 0; k < 40; k++) {
            const outputs = forward(model, pixels);
            const { sums } = outputs.output;
            if (sums.indexOf(Math.max(...sums)) === target) return [k, Math.min(...pixels), Math.max(...pixels)];
            pixels = nudged(pixels, towards(model, pixels, outputs, target));
          }
        });
    """
    label = int(model.predict(digits[0])[0])
    document, image = model_document(model, "m", "1"), digits[0].ravel().tolist()
    targets = [each for each in range(10) if each != label]
    paths = [each for each in run(body, document=document, image=image, targets=targets) if each]
    assert len(paths) >= 8
    for steps, least, most in paths:
        assert steps > 0
        assert 0 <= least < most <= 255


def test_the_loss_of_the_last_layer_has_the_gradient_that_central_differences_have():
    rng = np.random.default_rng(0)
    examples = [{"values": rng.random(5).tolist(), "label": k % 2} for k in range(6)]
    body = """
        const layer = newLayer(examples, 2);
        layer.parameters.forEach((_, i) => (layer.parameters[i] = Math.sin(i)));
        const { gradient } = lossAndGradient(layer, examples);
        return [...gradient].map((d, i) => {
          const at = (step) => {
            layer.parameters[i] += step;
            const { loss } = lossAndGradient(layer, examples);
            layer.parameters[i] -= step;
            return loss;
          };
          return [d, (at(1e-5) - at(-1e-5)) / 2e-5];
        });
    """
    own, wanted = np.transpose(run(body, examples=examples))
    assert np.abs(wanted).min() > 0
    np.testing.assert_allclose(own, wanted, rtol=1e-5, atol=1e-9)


def test_a_new_layer_starts_at_chance_and_learns():
    rng = np.random.default_rng(0)
    examples = [{"values": (rng.random(84) + 0.3 * (k % 2)).tolist(), "label": k % 2} for k in range(10)]
    body = """
        const layer = newLayer(examples, 2);
        return Array.from({ length: 200 }, () => learn(layer, examples));
    """
    losses = run(body, examples=examples)
    assert losses[0] == pytest.approx(np.log(2))
    assert losses[-1] < 0.05


@pytest.mark.parametrize(
    ("stage", "row", "column", "wanted"),
    [
        ("c1", 10, 3, (8, 1, 13, 6)),
        ("c1", 0, 27, (0, 25, 3, 28)),
        ("s2", 5, 6, (8, 10, 14, 16)),
        ("c3", 3, 4, (4, 6, 18, 20)),
        ("s4", 1, 2, (2, 6, 18, 22)),
        ("s4", 4, 0, (14, 0, 28, 14)),
        ("c5", 0, 0, (0, 0, 28, 28)),
        ("output", 0, 0, (0, 0, 28, 28)),
    ],
)
def test_receptive_fields_are_those_computed_by_hand(units, stage, row, column, wanted):
    box = units[stage, row, column]["field"]
    assert (box["top"], box["left"], box["bottom"], box["right"]) == wanted


@pytest.fixture(scope="module")
def units(model, digits):
    """The receptive field, sum of products and text of some units of map 0, by (stage, row, column)."""
    places = [("input", 12, 12), ("c1", 10, 3), ("c1", 0, 27), ("c1", 0, 13), ("s2", 5, 6), ("s2", 7, 3), ("c3", 3, 4)]
    places += [("c3", 0, 9), ("s4", 1, 2), ("s4", 4, 0), ("s4", 2, 2), ("c5", 0, 0), ("f6", 0, 0), ("output", 0, 0)]
    body = """
        state.model = modelOf(document);
        state.pixels = image;
        state.outputs = forward(state.model, image);
        return places.map(([stage, row, column]) => {
          const unit = { stage, map: 0, row, column };
          const terms = stage === "input" ? [] : allTermsOf(unit);
          const sum = terms.reduce((total, each) => total + each.sum, 0);
          return { field: receptiveField(unit), terms: terms.length, sum, text: arithmeticOf(unit) };
        });
    """
    document = model_document(model, "m", "1")
    return dict(zip(places, run(body, document=document, image=digits[0].ravel().tolist(), places=places), strict=True))


@pytest.mark.parametrize(("stage", "before"), [("s2", "c1"), ("s4", "c3")])
def test_the_example_of_pooling_has_inputs_that_differ(model, digits, stage, before):
    body = """
        state.model = modelOf(document);
        state.outputs = forward(state.model, image);
        return exampleUnit(stage);
    """
    document = model_document(model, "m", "1")
    unit = run(body, document=document, image=digits[0].ravel().tolist(), stage=stage)
    maps = model.activations(digits[0])[before][0]
    side = maps.shape[1] // 2
    spread = np.ptp(maps.reshape(-1, side, 2, side, 2), axis=(2, 4))
    assert spread[unit["map"], unit["row"], unit["column"]] == pytest.approx(spread.max(), abs=1e-5)
    assert spread.max() > 0.5


def test_pixels_within_a_receptive_field_matter_and_no_others(model, units):
    model, rng = copy.deepcopy(model), np.random.default_rng(0)
    model.mean = 0.1  # standardised by itself, an image would change as a whole
    for (stage, row, column), unit in units.items():
        if stage not in ("c1", "s2", "c3", "s4"):
            continue
        image, box = rng.random((28, 28)), unit["field"]
        within = np.zeros((28, 28), bool)
        within[box["top"] : box["bottom"], box["left"] : box["right"]] = True
        value = model.activations(image)[stage][0, :, row, column]
        outside = model.activations(np.where(within, image, rng.random((28, 28))))[stage][0, :, row, column]
        np.testing.assert_array_equal(value, outside)
        for corner in (box["top"], box["left"]), (box["bottom"] - 1, box["right"] - 1):
            changed = image.copy()
            changed[corner] = 1 - changed[corner]
            assert (model.activations(changed)[stage][0, :, row, column] != value).any()


def test_products_and_bias_add_up_to_the_sum_of_a_unit(model, digits, units):
    activations = model.activations(digits[0])
    counts = {"c1": 1, "c3": 6, "c5": 16, "f6": 1}
    for (stage, row, column), unit in units.items():
        if stage in counts:
            value = float(
                activations[stage][0, 0, row, column] if stage in ("c1", "c3") else activations[stage].ravel()[0]
            )
            total = unit["sum"] + float(model.parameters[f"{stage}.bias"][0])
            assert 1 / (1 + np.exp(-total)) == pytest.approx(value, abs=1e-5)
            assert unit["terms"] == counts[stage]
            shown = [float(part) for part in unit["text"].replace("\N{MINUS SIGN}", "-").split() if part[-1].isdigit()]
            np.testing.assert_allclose(shown[1:3], [total - unit["sum"], total], atol=0.0051)
            assert shown[0] == pytest.approx(unit["sum"], abs=0.0101)
            assert shown[-1] == pytest.approx(value, abs=0.0051)
        elif stage in ("s2", "s4"):
            assert unit["sum"] == pytest.approx(float(activations[stage][0, 0, row, column]), abs=1e-5)


def test_softmax_divides_an_exponential_by_the_total(model, digits):
    body = """
        state.model = modelOf(document);
        state.outputs = forward(state.model, image);
        const maps = [...state.outputs.output.values.keys()];
        return maps.map((map) => arithmeticOf({ stage: "output", map, row: 0, column: 0 }));
    """
    document = model_document(model, "m", "1")
    texts = run(body, document=document, image=digits[0].ravel().tolist())
    logits = model.logits(digits[:1])[0].astype(np.float64)
    exponentials = np.exp(logits)
    for text, logit, exponential in zip(texts, logits, exponentials, strict=True):
        found = re.fullmatch(r"exp\((.*)\) / total ≈ (.*)%", text.splitlines()[1].replace("\N{MINUS SIGN}", "-"))
        assert float(found[1]) == pytest.approx(logit, abs=0.0051)
        below = 100 * exponential / exponentials.sum() - float(found[2])  # percentages are rounded down
        assert -0.001 <= below < 0.101


def test_printed_numbers_add_up(model, digits):
    body = """
        state.model = modelOf(document);
        state.outputs = forward(state.model, image);
        return [...state.outputs.f6.values.keys()].map((map) => arithmeticOf({ stage: "f6", map, row: 0, column: 0 }));
    """
    document = model_document(model, "m", "1")
    for text in run(body, document=document, image=digits[0].ravel().tolist()):
        line = text.splitlines()[0].replace("\N{MINUS SIGN}", "-").split()
        assert float(line[1]) + float(line[4]) == pytest.approx(float(line[6]), abs=1e-9), text


def test_only_certainty_is_shown_as_100_percent():
    shown = run("return values.map(percent)", values=[0, 0.0009, 0.057, 0.57, 0.9996, 0.99999999, 1])
    assert shown == ["0.0%", "0.0%", "5.7%", "57.0%", "99.9%", "99.9%", "100.0%"]


def test_doubt_has_the_threshold_of_the_model(model):
    document = model_document(model, "m", "1") | {"thresholds": {"0.001": 4, "0.002": 3, "0.005": 1}}
    images = np.zeros((3, 10))
    images[0, [3, 5]] = 0.95, 0.05  # a margin of 2.94
    images[1, [3, 5]] = 0.96, 0.04  # 3.18
    images[2] = 0.02
    images[2, [3, 5]] = 0.8, 0.035  # 3.13
    body = "return images.map((each) => judged(modelOf(document), each).text)"
    assert run(body, document=document, images=images.tolist()) == ["unsure; most likely 3", "3", "3"]


def test_a_link_carries_strokes():
    rng = np.random.default_rng(0)
    walks = [np.clip(np.cumsum(rng.normal(0, 0.02, (count, 2)), axis=0) + 0.5, 0, 1) for count in (1, 40, 300)]
    strokes = [[{"x": x, "y": y} for x, y in walk] for walk in walks]
    text, back = run("const text = encoded(strokes); return [text, decodedStrokes(text)]", strokes=strokes)
    assert len(text) < 1500
    assert len(back) == 3
    for walk, stroke in zip(walks, back, strict=True):
        points = np.array([[point["x"], point["y"]] for point in stroke])
        np.testing.assert_allclose(points[[0, -1]], walk[[0, -1]], atol=0.002)
        nearest = np.linalg.norm(walk[:, None] - points[None], axis=2).min(axis=1)
        assert nearest.max() < 0.0155


def test_damaged_links_have_no_strokes():
    texts = ["", "AAAA", "AA", "a b", "<p>", "QEBAQA", "QEAAAEBA", "QEAAAAA", "QAAAAA", "A" * 9000]
    assert run("return texts.map(decodedStrokes)", texts=texts) == [None] * len(texts)


@pytest.mark.parametrize("classes", [2, 10, 13, 26])
def test_the_digit_score_is_that_of_lenet(classes):
    """The mean of 13 equal logits rounds to more than the highest."""
    likely = np.random.default_rng(0).dirichlet(np.full(classes, 0.1), 50)
    rows = np.concatenate([likely, np.eye(classes)[:1], np.full((1, classes), 1 / classes)])
    found = np.array(run("return rows.map(digitScore);", rows=rows.tolist()))
    np.testing.assert_allclose(found, digit_score(rows), atol=1e-12)
    assert (found >= 0).all()
