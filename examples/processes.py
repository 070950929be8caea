"""Divide images among processes, with each start method. Each worker loads the model once and then receives images."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np

import lenet


def load():
    """Load the model in a new worker."""
    global model
    model = lenet.load_pretrained("mnist")


def predict(images):
    """Predict a part of the images, with one thread, as each core has a worker."""
    return model.predict(images, n_jobs=1)


if __name__ == "__main__":  # spawn and forkserver import this file again
    images = lenet.data.load_digits().X_test
    alone = lenet.load_pretrained("mnist").predict(images, n_jobs=2)
    for method in multiprocessing.get_all_start_methods():
        with ProcessPoolExecutor(2, multiprocessing.get_context(method), initializer=load) as processes:
            parts = list(processes.map(predict, np.array_split(images, 8)))
        print(f"{method}: the same digits: {np.array_equal(np.concatenate(parts), alone)}")
