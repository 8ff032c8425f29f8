from typing import Any

from numpy.typing import NDArray

LOSSES: dict[str, tuple[object, object]]

def weigh_targets(target: NDArray[Any], classes: int, ignore: int, weight: NDArray[Any] | None) -> float: ...
def sweep(
    kernels: tuple[object, object],
    arrays: tuple[NDArray[Any] | None, ...],
    shared: tuple[NDArray[Any] | None, ...],
    scalars: tuple[float, ...],
    n: int,
    width: int,
    gradient_scale: float,
) -> float: ...
