"""Requests that arrive together are computed as one batch, and do not affect each other."""

import asyncio

import numpy as np
import pytest

import lenet

pytest.importorskip("starlette")

from lenet.serving.protocol.batches import Batches

X = lenet.data.load_digits().X_test
MODEL = lenet.load_pretrained()


@pytest.fixture
def sizes(monkeypatch):
    """The number of images in each call of the network, which uses all cores."""
    sizes, predict = [], lenet.LeNet5.predict_proba
    monkeypatch.setattr(lenet.LeNet5, "predict_proba", lambda self, x: (sizes.append(len(x)), predict(self, x))[1])
    return sizes


def together(*requests):
    """Return the result or the error of each request, a model and its images, all of one iteration."""
    batches = Batches()

    async def ask():
        return await asyncio.gather(*(batches.predict_proba(*each) for each in requests), return_exceptions=True)

    results = asyncio.run(ask())
    assert batches.size == 0
    return results


def test_each_request_gets_the_probabilities_of_its_images(sizes):
    parts = X[:1], X[1:4], X[:0], X[4:6].reshape(2, 784)
    results = together(*((MODEL, part) for part in parts))
    assert sizes == [6]
    for part, result in zip(parts, results, strict=True):
        np.testing.assert_array_equal(result, MODEL.predict_proba(part))


def test_models_and_dtypes_are_computed_separately(sizes):
    other, floats = lenet.LeNet5(seed=0), X[:2] / np.float32(255)
    results = together((MODEL, X[:1]), (other, X[:1]), (MODEL, floats), (MODEL, X[1:2]), (MODEL, floats[0]))
    assert sizes == [2, 1, 3]
    for (model, x), result in zip(
        [(MODEL, X[:1]), (other, X[:1]), (MODEL, floats), (MODEL, X[1:2]), (MODEL, floats[0])], results, strict=True
    ):
        np.testing.assert_array_equal(result, model.predict_proba(x))


def test_an_invalid_request_does_not_affect_the_others():
    floats = X[:3] / np.float64(255)
    first, invalid, last = together((MODEL, floats[:1]), (MODEL, floats[1:2] + 1), (MODEL, floats[2:]))
    assert isinstance(invalid, lenet.errors.InputError)
    np.testing.assert_array_equal(np.concatenate([first, last]), MODEL.predict_proba(floats[[0, 2]]))


def test_a_cancelled_request_does_not_affect_the_others():
    async def ask():
        batches = Batches()
        tasks = [asyncio.ensure_future(batches.predict_proba(MODEL, X[k : k + 1])) for k in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        alone = asyncio.ensure_future(batches.predict_proba(MODEL, X[:99]))
        await asyncio.sleep(0)
        alone.cancel()
        await asyncio.gather(alone, return_exceptions=True)
        assert batches.size == 0
        return results

    cancelled, *others = asyncio.run(ask())
    assert isinstance(cancelled, asyncio.CancelledError)
    np.testing.assert_array_equal(np.concatenate(others), MODEL.predict_proba(X[1:3]))


def test_requests_of_later_iterations_are_computed_later(sizes):
    async def ask():
        batches = Batches()
        for _ in range(3):
            await asyncio.gather(*(batches.predict_proba(MODEL, X[k : k + 1]) for k in range(2)))

    asyncio.run(ask())
    assert sizes == [2, 2, 2]


def test_a_request_waits_for_one_iteration():
    async def ask():
        request = asyncio.ensure_future(Batches().predict_proba(MODEL, X[:1]))
        for _ in range(3):
            await asyncio.sleep(0)
        return request.done()

    assert asyncio.run(ask())
