from typing import Any

import numpy as np

_Array = np.ndarray[Any, np.dtype[Any]]

def summed(indices: _Array, values: _Array, limit: int) -> tuple[_Array, _Array]: ...
