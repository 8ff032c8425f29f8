ROWWISE: dict[str, tuple[object, object]]
