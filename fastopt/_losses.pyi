from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

def reduce(
    loss: Any,
    kernels: tuple[object, object],
    given: tuple[Any, ...],
    arrays: tuple[NDArray[Any], ...],
    call: tuple[bool, Any, Any, Any],
    shape: tuple[int, ...],
    width: int = 1,
    mass: Callable[[NDArray[Any] | None, int], float] | None = None,
    targets: tuple[NDArray[Any], ...] = (),
    shared: tuple[NDArray[Any] | None, ...] = (),
    scalars: tuple[float, ...] = (),
    factors: tuple[tuple[NDArray[Any], int], ...] = (),
    scratch: int = 0,
) -> tuple[Any, Any]: ...
def native(x: object) -> bool: ...
def plain_indices(x: object) -> bool: ...
def plain(arrays: tuple[object, ...]) -> bool: ...
def overlap(a: NDArray[Any], b: NDArray[Any]) -> bool: ...
def outside(array: NDArray[Any], low: float, high: float, low_open: bool = False) -> bool: ...
def pick(array: NDArray[Any], target: NDArray[Any], width: int, ignore: int) -> NDArray[Any]: ...
def place(array: NDArray[Any], target: NDArray[Any], width: int, ignore: int, picked: NDArray[Any]) -> None: ...
def weigh_targets(
    target: NDArray[Any],
    classes: int,
    ignore: int,
    weight: NDArray[Any] | None,
    sample_weight: NDArray[Any] | None,
    units: int,
) -> float: ...
