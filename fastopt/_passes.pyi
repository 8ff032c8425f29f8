PASSES: dict[str, tuple[object, object]]
