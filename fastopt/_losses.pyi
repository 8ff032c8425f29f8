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
    picked: bool = False,
    columns: bool = False,
) -> tuple[Any, Any]: ...
def native(x: object) -> bool: ...
def plain_indices(x: object) -> bool: ...
def plain(arrays: tuple[object, ...]) -> bool: ...
def overlap(a: NDArray[Any], b: NDArray[Any]) -> bool: ...
def outside(array: NDArray[Any], low: float, high: float, low_open: bool = False) -> bool: ...
def weigh_targets(
    target: NDArray[Any],
    classes: int,
    ignore: int,
    weight: NDArray[Any] | None,
    sample_weight: NDArray[Any] | None,
    units: int,
) -> float: ...
