"""How every loss is drawn: colour by family, marker and line by member, fixed by name.

A loss looks the same in every figure, whatever else is drawn and in whatever order.
"""

from __future__ import annotations

from zlib import crc32

from firstorder.publish.style import LINES, MARKERS, OKABE_ITO, Look

FAMILIES = {
    OKABE_ITO[0]: ("ce", "focal", "ldr-kl", "phuber-ce", "logit_clip"),
    OKABE_ITO[1]: ("mae", "mae-l1", "rce", "nlnl"),
    OKABE_ITO[2]: ("gce", "agce", "aul", "ael"),
    OKABE_ITO[6]: ("sce", "jal-ce", "ce_eps+mae"),
    "#7F7F7F": ("nce", "nfl", "ngce", "nnce", "nnfl"),
    OKABE_ITO[3]: (
        "nce+rce", "nce+agce", "nce+mae", "nfl+rce", "nfl+mae", "nce+aul", "nce+ael", "nce+mae-l1",
    ),
    "#882255": ("anl-ce", "anl-fl", "anl-ce-er"),
    OKABE_ITO[4]: ("unhinged",),
    OKABE_ITO[5]: ("sgce",),
    OKABE_ITO[7]: ("alpha_mae", "alpha_mae_mix"),
}  # fmt: skip
"""Colour -> the losses of a family; the first has a full line."""

_KNOWN = {name: (color, at) for color, names in FAMILIES.items() for at, name in enumerate(names)}


def loss_look(name: str) -> Look:
    """The look of a loss; a variant (`ce-tuned`) has its base's colour and marker.

    A loss that is not listed, such as a user's own, has a look drawn from its name.
    """
    base = max((each for each in _KNOWN if _is_of(name, each)), key=len, default=None)
    if base is None:
        number = crc32(name.encode())
        color = OKABE_ITO[number % len(OKABE_ITO)]
        return Look(color, MARKERS[number // 8 % len(MARKERS)], LINES[number // 64 % len(LINES)])
    color, at = _KNOWN[base]
    other = 0 if name == base else 1 + crc32(name.encode()) % (len(LINES) - 1)
    return Look(color, MARKERS[_first(base) + at], LINES[(at + other) % len(LINES)])


def _is_of(name: str, base: str) -> bool:
    return name == base or name.startswith(f"{base}-")


def _first(base: str) -> int:
    """Where the markers of a family begin, so that families differ in them too."""
    color, _ = _KNOWN[base]
    spare = len(MARKERS) - len(FAMILIES[color])
    return list(FAMILIES).index(color) % (spare + 1)
