from typing import Any

from numpy.typing import NDArray

def locate(
    target: NDArray[Any],
    input_lengths: NDArray[Any],
    target_lengths: NDArray[Any],
    steps: int,
    classes: int,
    blank: int,
    starts: NDArray[Any],
) -> None: ...
def ctc_loss(
    x: NDArray[Any],
    gradient: NDArray[Any] | None,
    values: NDArray[Any],
    target: NDArray[Any],
    starts: NDArray[Any],
    target_lengths: NDArray[Any],
    input_lengths: NDArray[Any],
    weight: NDArray[Any],
    slope: NDArray[Any],
    blank: int,
    logits: bool,
    zero_infinity: bool,
) -> float: ...
