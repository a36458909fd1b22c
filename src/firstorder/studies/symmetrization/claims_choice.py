"""Claims about hyper-parameters: what tuning chooses, and where else that is a good choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firstorder.bounds import Classes, Share
from firstorder.config import Range
from firstorder.publish.numerals import number
from firstorder.publish.registry import Results, claim
from firstorder.publish.statistics import Status, bootstrap
from firstorder.publish.statistics.bootstrap import Cell, resample
from firstorder.publish.verdict import (
    FAILS,
    HOLDS,
    NOT_RESOLVED,
    NOT_RUN,
    Effect,
    Verdict,
    combine,
    exact,
    missing,
    not_run,
)
from firstorder.studies.symmetrization import effects, frames
from firstorder.studies.symmetrization.claims import ANY, labels, rates_of, under
from firstorder.studies.symmetrization.effects import both, diverged, told


@claim("optimum-differs", reads=("tuning.json",))
def optimum_differs(results: Results) -> Verdict:
    """P7: no weight decay is the best of all losses (those with L1 aside).

    Values that a test at the level of 5 % over the number of losses cannot tell from a loss's
    best may be its best: all true bests are among these in 95 % of all cases. The claim holds
    where no value may be the best of every loss, and fails where each has one and the same.
    """
    chosen = frames.tunings(results)
    if "weight_decay" not in chosen:
        return not_run("No weight decay is tuned at this scale.")
    chosen = chosen.dropna(subset="weight_decay")
    chosen = chosen[chosen.groupby("setting")["loss"].transform("size") > 1]
    if chosen.empty:
        return not_run("The weight decay of one loss only is tuned at this scale.")
    data = frames.printed(results, "title", "setting")
    statuses: list[Status] = []
    said, least = [], []
    for setting, part in chosen.groupby("setting", sort=False):
        bests = [may_be_best(stages[-1], 0.05 / len(part)) for stages in part["stages"]]
        known = [best for best in bests if best]
        common = set.intersection(*known) if known else set()
        alike = all(len(best) == 1 for best in known) and len(known) == len(part)
        count = part["weight_decay"].value_counts().sort_index()
        statuses.append(
            NOT_RUN if len(known) < 2 else HOLDS if not common else FAILS if alike else NOT_RESOLVED
        )
        decays = zip(count.index.tolist(), count, strict=True)
        values = ", ".join(f"{number(decay)} for {losses}" for decay, losses in decays)
        lost = part["label"][[not best for best in bests]]
        also = f"; every value diverged for {', '.join(lost)}, not counted" if len(lost) else ""
        said.append(
            f"{values} of {count.sum()} losses on {data[str(setting)]} (what may be the best of "
            f"every loss: {', '.join(map(number, sorted(common))) or 'none'}{also})"
        )
        least.append(
            exact(len(count), name=f"distinct values, {data[str(setting)]}", threshold=1.0)
        )
    text = f"Tuning chose a weight decay of {'; '.join(said)}."
    return both(*(Verdict(status, "") for status in statuses), Verdict(HOLDS, text, tuple(least)))


def may_be_best(stage: Mapping[str, Any], level: float) -> set[float]:
    """The weight decays that a stage cannot tell from its best; none where all diverged."""
    pairs = zip(stage["candidates"], stage["p"], strict=True)
    return {candidate["weight_decay"] for candidate, p in pairs if p > level}


@claim("reuse", reads=("summary.json", "correct.npz"))
def reuse(
    results: Results,
    *,
    chosen: Share = 0.8,
    rates: Range[Share] = (0.2, 0.6),
    tolerance: Share = 0.02,
    classes: Range[Classes] = ANY,
) -> Verdict:
    """P14: the parameter that is best at high noise is nearly best at lower noise.

    Chosen at the rate `chosen` on every other test example, judged on the rest at the other
    rates (least and most of `rates`): no value may be better there by more than `tolerance`.
    """
    runs = under(results, "symmetric", classes)
    if runs.empty or chosen not in set(runs["rate"]):
        return not_run("Variants of the parameter are not run at this scale.")
    known = rates_of(runs)
    halves = [
        {key: Cell(cell.results[:, half::2], cell.seeds, f"{cell.examples} {half}")
         for key, cell in effects.bits(results, runs).items()}
        for half in (0, 1)
    ]  # fmt: skip
    drawn, label = resample(halves[1]), labels(results)
    data = frames.printed(results, "heading", "setting")
    gains: list[Effect] = []
    said: list[str] = []
    for setting in dict.fromkeys(runs["setting"]):
        at = {key[2]: cell for key, cell in halves[0].items()
              if key[0] == setting and known[key[1]] == chosen}  # fmt: skip
        if not at:
            if (runs.loc[runs["setting"] == setting, "status"] == "diverged").all():
                gains.append(missing("Every training diverged.", data[setting]))
            continue
        best = max(at, key=lambda loss: at[loss].results.mean())
        lower = [key for key in halves[1]
                 if key[0] == setting and rates[0] <= known[key[1]] <= rates[1]]  # fmt: skip
        gains += [
            bootstrap.effect(
                drawn, bootstrap.difference(key, (*key[:2], best)), scale=100, unit="points",
                threshold=100 * tolerance, direction="below",
                name=effects.named(runs, key[:2], key[2], best),
            )
            for key in lower if key[2] != best
        ]  # fmt: skip
        said.append(label[best])
    if not gains:
        return not_run("The parameter is not varied at lower noise rates at this scale.")
    text = (
        f"The value that is best at rate {chosen:g} ({', '.join(said)}) "
        f"loses at most {max([0.0, *effects.values(gains)]):.1f} points against another "
        f"value at rates from {rates[0]:g} to {rates[1]:g}."
    )
    return told(combine(gains, "all", text), diverged(runs))
