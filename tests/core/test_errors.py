from __future__ import annotations

import re

from overread.core import errors


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn = re.findall(r"^([│ ]*)[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE)
    parents: dict[str, str] = {}
    path: list[str] = []
    for indent, name in drawn:
        depth = len(indent) // 4 - 1
        path[depth:] = [name]
        parents[name] = path[depth - 1] if depth else "OverreadError"
    code = {
        name: cls.__base__.__name__
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, errors.OverreadError) and cls is not errors.OverreadError
    }
    assert parents == code
