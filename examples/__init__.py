"""Examples, also installed as fastopt.examples so that `fastopt demo` can run them."""
