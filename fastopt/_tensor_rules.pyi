RULES: dict[str, tuple[object, object]]
MEASURES: dict[str, tuple[object, object]]
SETTLES: dict[str, object]
