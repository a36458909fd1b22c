"""The command line: one verb a rule, and `list`, `explain`, `verify`, `doctor` for people.

Inside a workflow run a verb takes its configuration from the frozen plan of that run; by hand it
reads `config/` itself, so a command that Snakemake prints can be pasted. Imports are lazy:
`--help` is quick.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from firstorder import __version__, memory
from firstorder.errors import UserError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def commands() -> None:
    """Rebuild two studies of first-order approximations, step by step.

    `snakemake` calls these verbs in the right order; each also runs by hand.
    """


def main() -> None:
    """Run the command line; what the user can mend is one line and exit status 1."""
    # Only the package's own progress: matplotlib's font library reports every table of a font.
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("firstorder").setLevel(logging.INFO)
    try:
        commands.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except UserError as error:
        click.echo(f"firstorder: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        place = error.filename or "a file"
        click.echo(f"firstorder: {place}: {error.strerror or error}", err=True)
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        reason = memory.shortage(error)
        if reason is None:
            raise
        mend = "lower memory_gib, train or test of config/scales/, or use a larger machine"
        click.echo(f"firstorder: out of memory ({reason}); {mend}", err=True)
        sys.exit(1)


def planned(function: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options that choose its configuration, and the plan as first argument."""

    @click.option("--scale", help="Scale [default: that of config.yaml].")
    @click.option("--results", help="Folder of results [default: that of config.yaml].")
    @click.option(
        "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change config.yaml."
    )
    @functools.wraps(function)
    def wrapped(
        scale: str | None, results: str | None, changes: tuple[str, ...], **arguments: Any
    ) -> None:
        from firstorder import plan

        overrides = dict(_change(change) for change in changes)
        given = {"scale": scale, "results": results}
        overrides.update({key: value for key, value in given.items() if value is not None})
        return function(plan.of_job(overrides), **arguments)

    return wrapped


def _change(text: str) -> tuple[str, Any]:
    import yaml

    key, separator, value = text.partition("=")
    if not separator:
        raise click.UsageError(f"--set {text!r}: write KEY=VALUE")
    return key, yaml.safe_load(value)


@commands.command()
@planned
@click.argument("dataset")
@click.argument("file")
def fetch(plan: Any, dataset: str, file: str) -> None:
    """Place one raw FILE of DATASET below resources/, verified."""
    from firstorder.studies import data

    data.fetch(plan.config, dataset, file)


@commands.command()
@planned
@click.argument("dataset")
def prepare(plan: Any, dataset: str) -> None:
    """Decode the raw files of DATASET into tensors."""
    from firstorder.plan import OTHER
    from firstorder.studies import data

    plan.check(*OTHER["prepare"])
    data.prepare(plan.config, dataset)


@commands.command()
@planned
@click.argument("dataset")
@click.argument("noise")
def labels(plan: Any, dataset: str, noise: str) -> None:
    """Draw the NOISE on the training labels of DATASET, for all seeds."""
    from firstorder.plan import OTHER
    from firstorder.studies import symmetrization

    plan.check(*OTHER["labels"])
    symmetrization.labels(plan.config, dataset, noise)


@commands.command()
@planned
@click.argument("setting")
@click.argument("noise")
@click.argument("loss")
def train(plan: Any, setting: str, noise: str, loss: str) -> None:
    """Train the cell of a SETTING, a NOISE and a LOSS, for all seeds."""
    from firstorder import config
    from firstorder.plan import cell_entries
    from firstorder.studies import symmetrization

    cell = config.cell(plan.config, setting, noise, loss)
    code = plan.check(*cell_entries("train", cell))
    symmetrization.train(plan.config, cell, code)


@commands.command()
@planned
@click.argument("setting")
@click.argument("noise")
@click.argument("loss")
def evaluate(plan: Any, setting: str, noise: str, loss: str) -> None:
    """Test the networks of the cell of a SETTING, a NOISE and a LOSS on every test set."""
    from firstorder import config
    from firstorder.plan import evaluation_entries
    from firstorder.studies import evaluation

    cell = config.cell(plan.config, setting, noise, loss)
    code = plan.check(*evaluation_entries(cell))
    evaluation.evaluate(plan.config, cell, code)


@commands.command()
@planned
@click.argument("setting")
@click.argument("loss")
def tune(plan: Any, setting: str, loss: str) -> None:
    """Choose the weight decay of LOSS on the tuning split of a SETTING."""
    from firstorder import config
    from firstorder.plan import cell_entries
    from firstorder.studies import symmetrization

    cell = config.tuning_cell(plan.config, setting, loss)
    code = plan.check(*cell_entries("tune", cell))
    symmetrization.tune(plan.config, cell, code)


def _tangent(plan: Any, verb: str, model: str) -> str:
    from firstorder.config import ConfigError
    from firstorder.plan import tangent_entries

    study = plan.config.studies.linearized
    if model not in study.models:
        raise ConfigError(f"model {model!r} is unknown; allowed: {', '.join(study.models)}")
    return plan.check(*tangent_entries(verb, study, model))


@commands.command()
@planned
@click.argument("model")
@click.argument("support")
@click.argument("seed", type=int)
def kernel(plan: Any, model: str, support: str, seed: int) -> None:
    """Initialise MODEL and compute its tangent kernel on a SUPPORT."""
    from firstorder.studies import linearized

    code = _tangent(plan, "kernel", model)
    linearized.kernel(plan.config, model, support, seed, code)


@commands.command()
@planned
@click.argument("model")
@click.argument("support")
@click.argument("seed", type=int)
def spectrum(plan: Any, model: str, support: str, seed: int) -> None:
    """Decompose a kernel into eigenvalues and eigenfunctions."""
    from firstorder.studies import linearized

    code = _tangent(plan, "spectrum", model)
    linearized.spectrum(plan.config, model, support, seed, code)


@commands.command()
@planned
@click.argument("model")
@click.argument("seed", type=int)
@click.argument("family")
def tangent(plan: Any, model: str, seed: int, family: str) -> None:
    """Train the linearization of MODEL on all tasks of a FAMILY, in function space."""
    from firstorder.studies import linearized

    code = _tangent(plan, "tangent", model)
    linearized.tangent(plan.config, model, seed, family, code)


@commands.command()
@planned
@click.argument("model")
@click.argument("seed", type=int)
@click.argument("family")
def networks(plan: Any, model: str, seed: int, family: str) -> None:
    """Train MODEL on all tasks of a FAMILY."""
    from firstorder.studies import linearized

    code = _tangent(plan, "networks", model)
    linearized.networks(plan.config, model, seed, family, code)


@commands.command()
@planned
@click.argument("model")
@click.argument("seed", type=int)
@click.argument("family")
def rotation(plan: Any, model: str, seed: int, family: str) -> None:
    """Compare the kernels of trained networks with the initial one."""
    from firstorder.studies import linearized

    code = _tangent(plan, "rotation", model)
    linearized.rotation(plan.config, model, seed, family, code)


@commands.command()
@planned
@click.argument("model")
@click.argument("seed", type=int)
def nads(plan: Any, model: str, seed: int) -> None:
    """Find the neural anisotropy directions of MODEL and train on their linear tasks."""
    from firstorder.studies import linearized

    code = _tangent(plan, "nads", model)
    linearized.nads(plan.config, model, seed, code)


def _artefact(plan: Any, study: str, artefact: str, kind: str) -> None:
    from firstorder.config import ConfigError
    from firstorder.plan import artefact_entries

    known = getattr(plan.config.studies, study, None)
    declared = known.artefacts.get(artefact) if known else None
    if declared is None or declared.kind != kind:
        raise ConfigError(f"{kind} {study} {artefact} is unknown; `firstorder list` names all")
    plan.check(*artefact_entries(plan.config, declared))


@commands.command()
@planned
@click.argument("study")
@click.argument("artefact")
def table(plan: Any, study: str, artefact: str) -> None:
    """Make a table of a STUDY from its records."""
    from firstorder.publish import tables

    _artefact(plan, study, artefact, "table")
    tables.build(plan.config, study, artefact)


@commands.command()
@planned
@click.argument("study")
@click.argument("artefact")
def figure(plan: Any, study: str, artefact: str) -> None:
    """Draw a figure of a STUDY from its records."""
    from firstorder.publish import figures

    _artefact(plan, study, artefact, "figure")
    figures.build(plan.config, study, artefact)


@commands.command()
@planned
def claims(plan: Any) -> None:
    """Judge every claim of the chosen studies."""
    from firstorder.plan import claim_entries
    from firstorder.publish import claims as judged

    plan.check(*claim_entries(plan.config))
    judged.build(plan.config)


@commands.command()
@planned
def manifest(plan: Any) -> None:
    """Map every artefact to the hashes of what it was made from."""
    from firstorder.plan import OTHER
    from firstorder.publish import manifest as listing

    plan.check(*OTHER["manifest"])
    listing.build(plan.config)


@commands.command()
@planned
def crate(plan: Any) -> None:
    """Describe the results as an RO-Crate, for archives."""
    from firstorder.plan import OTHER
    from firstorder.publish import crate as description

    plan.check(*OTHER["crate"])
    description.build(plan.config)


@commands.command()
@planned
def paper(plan: Any) -> None:
    """Compile the replication report."""
    from firstorder.plan import OTHER
    from firstorder.publish import paper as document

    plan.check(*OTHER["paper"])
    document.build(plan.config)


@commands.command("list")
@planned
def list_(plan: Any) -> None:
    """List every artefact of the scale, with the file to ask Snakemake for."""
    from firstorder import config
    from firstorder.paths import Paths

    settings = plan.config.settings
    paths = Paths(settings.results, settings.resources, settings.scale)
    for study, name, artefact in config.artefacts(plan.config):
        first = paths.artefact(study, name, artefact.kind)[0]
        click.echo(f"{first}\n    {artefact.title} ({artefact.where})")


@commands.command()
@planned
@click.argument("path", type=click.Path(exists=True, dir_okay=False))
def explain(plan: Any, path: str) -> None:
    """Print the chain from a result at PATH back to raw data."""
    from firstorder.publish import manifest as listing

    click.echo(listing.explain(plan.config, path))


@commands.command()
@planned
@click.option("--strict", is_flag=True, help="Exit with status 1 when a claim fails.")
def verify(plan: Any, strict: bool) -> None:
    """Print the verdict on every claim of the scale."""
    import shutil

    from firstorder.publish import claims as judged

    columns = shutil.get_terminal_size((100, 24)).columns
    text, failed = judged.verify(plan.config, min(max(columns, 60), 120))
    click.echo(text)
    if strict and failed:
        what = "claim fails" if failed == 1 else "claims fail"
        raise UserError(f"{failed} {what} at scale {plan.config.settings.scale}")


@commands.command()
@planned
def doctor(plan: Any) -> None:
    """Check environment, devices and data sources for the chosen scale."""
    from firstorder.doctor import examine

    click.echo(examine(plan.config))


if __name__ == "__main__":
    main()
