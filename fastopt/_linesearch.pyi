class LineSearch:
    def advance(self, f: float, slope: float, cosine: float = ...) -> None: ...
    @property
    def step(self) -> float: ...
    @property
    def done(self) -> bool: ...
    @property
    def accepted(self) -> bool: ...
    @property
    def agrees(self) -> bool: ...

class MoreThuente(LineSearch):
    def __init__(
        self,
        f: float,
        slope: float,
        step: float = 1.0,
        *,
        c1: float = 1e-3,
        c2: float = 0.9,
        xtol: float = 0.1,
        stpmax: float = 1e10,
        maxls: int = 20,
        slack: float = ...,
    ) -> None: ...

class HagerZhang(LineSearch):
    def __init__(
        self,
        f: float,
        slope: float,
        step: float = 1.0,
        *,
        c1: float = 0.1,
        c2: float = 0.9,
        xtol: float = 0,
        stpmax: float = 1e10,
        maxls: int = 50,
        slack: float = 1e-6,
    ) -> None: ...

class Armijo(LineSearch):
    def __init__(
        self,
        f: float,
        slope: float,
        step: float = 1.0,
        *,
        c1: float = 1e-3,
        stpmax: float = 1e10,
        maxls: int = 20,
        slack: float = ...,
    ) -> None: ...
