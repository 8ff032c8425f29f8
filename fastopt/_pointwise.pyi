POINTWISE: dict[str, tuple[object, object]]
