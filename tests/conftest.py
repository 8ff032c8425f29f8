"""What all tests share: proof that the library is built, and random tests that repeat."""

import pytest
from hypothesis import settings

try:
    import fastopt
except ImportError as error:
    raise pytest.UsageError(
        f"not built: run pip install -e . ({error}). To test an installed wheel from a checkout, "
        "say pytest, not python -m pytest, which imports the sources of the checkout instead."
    ) from error

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")


def pytest_report_header() -> str:
    return f"fastopt: {fastopt.__path__[0]}, {fastopt._engine.isa()}"


@pytest.fixture
def torch(monkeypatch):
    """torch in double throughout: scalars of ASGD and NAdam have the default dtype, and Muon multiplies in bfloat16."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)
