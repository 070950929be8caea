"""The faults that show that the instrumentation works."""

from tests.mutation.building import Change

OUT_OF_BOUNDS = Change(
    "training/augment/_distort.pyx", "                for x in range(W):\n", "                for x in range(W + 1):\n"
)
OVERFLOW = Change("training/augment/_distort.pyx", "image[y * W + x] if", "image[y * W + x + (y << 63)] if")
RACES = {  # by the test that runs into it
    "share_a_model_for_gradients": Change("_fused/batches.py", "self._work[chunk.start // size]", "self._work[0]"),
    "another_loads_weights": Change(
        "_fused/batches.py", "fill(x[part], mean, std, out[part])", "fill(x[part], mean, std, out[: len(x[part])])"
    ),
}
