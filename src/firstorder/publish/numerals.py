"""Numbers as readers see them: a true minus, powers of ten raised, verbs that agree with them."""

from __future__ import annotations

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
"""Digits of an exponent."""
PLURAL = {"holds": "hold", "fails": "fail"}
"""Verdicts of several claims or effects, where they are not as of one."""
LONGEST = 1e5
"""Numbers below it are printed in full, whatever their digits."""


def number(value: float, digits: int = 3) -> str:
    """At most so many significant digits: `3.1`, `−0.5`, `1,506`, `2.1×10⁶`, `10⁻⁹`, `∞`."""
    return _full(value, digits) or _typeset(f"{value:.{digits}g}")


def significant(value: float, digits: int = 3) -> str:
    """Exactly so many digits: `0.920`, beside which `0.975` stands in a column."""
    return _full(value, digits) or _typeset(f"{value:#.{digits}g}")


def powered(value: float, digits: int = 1) -> str:
    """Always with a power of ten: `10⁻⁴`, above which `10⁻⁵` stands in a column."""
    return _typeset(f"{value:.{digits - 1}e}")


def _full(value: float, digits: int) -> str:
    """A number that so many digits would give a power of ten, though it is not large."""
    long = 10.0**digits <= abs(float(f"{value:.{digits}g}")) < LONGEST
    return _typeset(f"{value:,.0f}") if long else ""


def _typeset(text: str) -> str:
    mantissa, _, exponent = text.replace("inf", "∞").partition("e")
    mantissa = mantissa.rstrip(".").replace("-", "−")
    if not exponent:
        return mantissa
    power = "10" + str(int(exponent)).translate(RAISED)
    return {"1": power, "−1": f"−{power}"}.get(mantissa, f"{mantissa}×{power}")


def counted(count: int, status: str) -> str:
    """`1 holds`, `2 hold`, `3 not resolved`."""
    return f"{count} {status if count == 1 else PLURAL.get(status, status)}"


def of_all(known: int, count: int, what: str) -> str:
    """` (2 of 4 tasks)`, which a name ends with; empty where all are known."""
    return f" ({known} of {count} {what})" if known < count else ""
