from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

class Build:
    def build(self) -> dict[str, Any]: ...
    def multiply_adds(self, rounds: int, /) -> int: ...
    def offsets(self, classes: int, /) -> list[int]: ...
    def view(self, vector: Array, /) -> Any: ...
    def sigmoid(self, x: Array, /) -> None: ...
    def logits(self, parameters: Array, x: Array, mean: float | None, std: float | None, out: Array, /) -> None: ...
    def softmax(self, x: Array, /) -> None: ...
    def learn_work(self, classes: int, /) -> int: ...
    def learn(
        self,
        parameters: Array,
        x: Array,
        mean: float | None,
        std: float | None,
        y: Array,
        shares: Array,
        logits: Array,
        totals: Array,
        margins: Array,
        gradient: Array,
        work: Array,
        /,
    ) -> None: ...
    def sgd_step(
        self, parameters: Array, gradient: Array, velocity: Array, lr: float, momentum: float, weight_decay: float, /
    ) -> None: ...

BUILDS: dict[str, Build]
