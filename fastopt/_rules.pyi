RULES: dict[str, tuple[object, object]]
