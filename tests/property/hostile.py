"""Hostile values for the configuration and the command line, as strategies of hypothesis."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

settings.register_profile("short", max_examples=40, deadline=None, database=None)
settings.register_profile("long", max_examples=3000, deadline=None)
PROFILE = settings.get_profile("long" if os.environ.get("FIRSTORDER_FUZZ") else "short")
"""How long a fuzz test goes on: `make fuzz` sets FIRSTORDER_FUZZ."""

DEEP: Any = 1
for _ in range(300):
    DEEP = [DEEP]

NUMBERS = (
    *(float("nan"), float("inf"), float("-inf"), -0.0, 0, -1, 1e-320, 1e308, 0.5, 1.5),
    *(2**31, 2**63, 2**64, 10**400, -(10**30), 100_000),
)
TEXTS = (
    *(
        "",
        " ",
        "0",
        "-1",
        "nan",
        "inf",
        "0x_",
        "1e999",
        "true",
        "null",
        "~",
        "-",
        "..",
        "../..",
        "/",
    ),
    *(
        "a" * 5000,
        "a b",
        "é",
        "\x00",
        "\x1b[31m",
        "\ud800",
        "\n",
        "{",
        "}",
        "{loss}",
        "{0}",
        "{a.b}",
    ),
    *("%s", "$(id)", "`id`", ":", "a:b", "file.py:", ":f", "nowhere.py:f", "os:system", "a.b.c:d"),
    *("$\\frac{1}{$", "tuned", "symmetric-", "symmetric-nan", "symmetric-inf", "human-", "matrix-"),
    *(
        "smoke",
        "digits",
        "ce",
        "symmetric-0.2",
        "symmetric-0.20",
        "all",
        "con",
        "x" * 300 + ".py:f",
    ),
)
ATOMS = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.sampled_from([None, True, False, [], {}, [[]], [None], {"": None}, {"a": {}}, DEEP]),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(TEXTS) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything within nested lists and dictionaries."""
    yield above
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, each in inner:
        yield from places(each, (*above, key))


def changed(value: Any, place: tuple[Any, ...], new: Any, how: str) -> Any:
    """A copy of `value` with another value at a place: replaced, removed, doubled, or added."""
    if not place:
        return new
    result = copy.deepcopy(value)
    target = result
    for part in place[:-1]:
        target = target[part]
    last = place[-1]
    if how == "remove":
        del target[last]
    elif how == "double" and isinstance(target, list):
        target.append(copy.deepcopy(target[last]))
    elif how == "add" and isinstance(target[last], dict):
        target[last][str(new)[:20]] = new
    elif how == "add" and isinstance(target[last], list):
        target[last].append(new)
    else:
        target[last] = new
    return result
