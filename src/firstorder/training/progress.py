"""Progress of one training: a bar on a terminal, a few plain lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from firstorder.training.metrics import Row

LINES = 10
"""How many lines a whole training leaves in a log."""


@contextmanager
def reporting(show: bool, epochs: int, done: int) -> Iterator[Callable[[Row], None]]:
    """Yield a function that is told every finished epoch; `done` epochs were made earlier."""
    if not show:
        yield lambda row: None
    elif sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=epochs, initial=done, unit="epoch", leave=False) as bar:

            def advance(row: Row) -> None:
                bar.set_postfix_str(_figures(row), refresh=False)
                bar.update()

            yield advance
    else:

        def write(row: Row) -> None:
            epoch = int(row["epoch"] or 0)
            if epoch * LINES // epochs != (epoch - 1) * LINES // epochs:
                print(f"epoch {epoch}/{epochs} {_figures(row)}", file=sys.stderr, flush=True)

        yield write


def _figures(row: Row) -> str:
    return " ".join(
        f"{name.replace('_', ' ')} {row[name]:.4g}"
        for name in ("train_loss", "train_accuracy", "test_accuracy")
        if row[name] is not None
    )
