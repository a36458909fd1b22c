"""What tuning chooses from: stages of candidates, each a mapping from names to values."""

from __future__ import annotations

import json
from hashlib import sha256
from itertools import product, zip_longest
from typing import Any

from firstorder.config import TUNED, Config, ConfigError, Loss, Scalar, study_files
from firstorder.studies.symmetrization import variants
from firstorder.studies.symmetrization.grid import Cell, tuning
from firstorder.studies.symmetrization.settings import NAME, Tuning

Candidate = dict[str, Scalar]


def stages(config: Config, name: str, found: Cell) -> list[dict[str, Any]]:
    """The stages of tuning the loss `name` in a cell; what one chooses, the next ones have.

    A stage has `candidates` and `default`, the place of the declared one (None where it is not
    among them). A loss under an equal budget has one stage. Others have one for each of their own
    parameters, then one for the penalty: `weight_decay` or, where a loss has it, `l1`. ConfigError
    where that is not possible.
    """
    protocol = tuning(config, name)
    _check_names(config, name, found.loss)
    untuned = variants.untuned(config, name)
    declared = _declared(untuned, untuned.on(found.dataset), found)
    if found.loss.l1 and found.loss.weight_decay == TUNED and declared["weight_decay"]:
        raise ConfigError(
            f"loss {name!r}: its `l1` is tuned, and a tuned loss has one penalty; give the loss "
            f"`weight_decay: 0` in {config.root}/losses.yaml"
        )
    if TUNED in (found.loss.lr, found.loss.score_norm):
        stage = _budget(protocol, found, declared)
        count, asked = len(stage["candidates"]), protocol.budget.configurations
        if count < asked:
            _, file = study_files(config, NAME)
            raise ConfigError(
                f"{file}: tuning.budget.configurations: {asked} is not allowed: "
                f"{name} has {count}; lower it, give more lr_factors or weight_decays, or let "
                "more of the loss be `tuned`"
            )
        return [stage]
    axes: dict[str, tuple[Scalar, ...]] = {
        each: found.loss.choices[each] for each in found.loss.tuned_parameters
    }
    if found.loss.weight_decay == TUNED:
        axes |= _penalties(protocol, found.loss)
    return [_stage([{each: value} for value in values], declared) for each, values in axes.items()]


def _check_names(config: Config, name: str, loss: Loss) -> None:
    """Refuse parameters under whose names something else of a loss is tuned."""
    for taken in sorted({"lr", "weight_decay", "l1", "score_norm"} & set(loss.parameters)):
        raise ConfigError(
            f"{config.root}/losses.yaml: {name}.parameters.{taken}: a loss that is `tuned` has no "
            "parameter of this name, which tuning gives to something else; call it otherwise"
        )


def _stage(candidates: list[Candidate], declared: Candidate) -> dict[str, Any]:
    """A stage whose default is the candidate that agrees with what is declared."""
    agree = [all(declared.get(k) == v for k, v in each.items()) for each in candidates]
    return {"candidates": candidates, "default": agree.index(True) if True in agree else None}


def _declared(untuned: Loss, own: Loss, found: Cell) -> Candidate:
    """What holds where nothing is tuned: the recipe's, and the declared values of the loss."""
    decay = own.weight_decay
    values = {**own.parameters, **_fixed(own.parameters, untuned.parameters)}
    return {
        "lr": own.lr if isinstance(own.lr, float) else found.recipe.lr,
        "weight_decay": found.recipe.weight_decay if decay in (None, TUNED) else float(decay),
        "l1": own.l1,
        "score_norm": own.score_norm,
        **values,
    }


def _fixed(own: Candidate, declared: Candidate) -> Candidate:
    """The declared values of the parameters that are tuned on the dataset."""
    return {n: declared[n] for n, value in own.items() if value == TUNED and n in declared}


def _penalties(protocol: Tuning, loss: Loss) -> dict[str, tuple[Scalar, ...]]:
    if loss.l1:
        return {"l1": tuple(_times(loss.l1, each) for each in sorted(protocol.l1_factors))}
    return {"weight_decay": tuple(sorted(protocol.weight_decays))}


def _budget(protocol: Tuning, found: Cell, declared: Candidate) -> dict[str, Any]:
    """One stage of as many configurations as every loss has, the declared one first.

    What is declared `tuned` for every dataset begins with its first value. The learning rates
    take turns; within a rate the order is that of a hash, which is the same for every loss and
    on every machine.
    """
    loss, budget = found.loss, protocol.budget
    rates: list[Candidate] = [{}]
    if loss.lr == TUNED:
        factors = sorted(budget.lr_factors)
        rates = [{"lr": _times(float(declared["lr"]), factor)} for factor in factors]
    others: dict[str, tuple[Scalar, ...]] = {}
    if loss.weight_decay == TUNED:
        others |= _penalties(protocol, loss)
    if loss.score_norm == TUNED:
        others["score_norm"] = budget.score_norms
    others |= {each: loss.choices[each] for each in loss.tuned_parameters}
    begun = {name: values[0] for name, values in others.items() if declared[name] == TUNED}
    first = {**{name: declared[name] for name in (*rates[0], *others)}, **begun}
    lines = []
    for rate in rates:
        line: list[Candidate] = [
            {**rate, **dict(zip(others, values, strict=True))}
            for values in product(*others.values())
        ]
        lines.append(sorted((each for each in line if each != first), key=_mixed))
    turns = [each for turn in zip_longest(*lines) for each in turn if each is not None]
    return _stage([first, *turns][: budget.configurations], declared)


def _times(value: float, factor: float) -> float:
    """The product without the noise of its last digits, so that a factor of 1 changes nothing."""
    return float(f"{value * factor:.12g}")


def _mixed(candidate: Candidate) -> str:
    return sha256(json.dumps(candidate, sort_keys=True).encode()).hexdigest()
