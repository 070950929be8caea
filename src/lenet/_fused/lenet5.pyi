from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def build() -> dict[str, Any]: ...
def multiply_adds(rounds: int, /) -> int: ...
def view(vector: Array, /) -> Any: ...
def sigmoid(x: Array, /) -> None: ...
def logits(parameters: Array, x: Array, mean: float, std: float, out: Array, /) -> None: ...
def softmax(x: Array, /) -> None: ...
def learn_work(classes: int, /) -> int: ...
def learn(
    parameters: Array,
    x: Array,
    mean: float,
    std: float,
    labels: Array,
    shares: Array,
    logits: Array,
    totals: Array,
    margins: Array,
    gradient: Array,
    work: Array,
    /,
) -> None: ...
def sgd_step(
    parameters: Array, gradient: Array, velocity: Array, lr: float, momentum: float, weight_decay: float, /
) -> None: ...
