"""The command line: one verb a step, and `list`, `explain`, `verify`, `doctor` for people.

Inside a workflow run a verb takes its configuration from the frozen plan of that run; by hand it
reads `config/` itself, so a command that Snakemake prints can be pasted. The verbs are those of
the steps: a study's appear with it. Imports are lazy: `--help` is quick.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from firstorder import __version__, memory, terminal
from firstorder.errors import UserError


class Verbs(click.Group):
    """The commands for people, then one for every step of every study."""

    def list_commands(self, context: click.Context) -> list[str]:
        from firstorder.jobs.study import known_steps

        return [*self.commands, *known_steps()]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        from firstorder.jobs.study import known_steps

        if name in self.commands:
            return self.commands[name]
        steps = known_steps()
        if name in steps:
            return _step_command(name, steps[name].keys, steps[name].help)
        return None

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and self.get_command(context, args[0]) is None:
            from firstorder.config import choose
            from firstorder.jobs.study import unusable

            hints = (choose(args[0], self.list_commands(context)), *unusable())
            raise click.UsageError(f"no such command {args[0]!r}; {'; '.join(hints)}")
        return super().resolve_command(context, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def commands() -> None:
    """Rebuild studies of first-order approximations, step by step.

    `snakemake` calls the steps in the right order; each also runs by hand.
    """


class Place(click.Path):
    """A path; one that cannot be the name of a file is refused and not asked for."""

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> Any:
        try:
            return super().convert(value, param, context)
        except UnicodeEncodeError:
            self.fail(f"{value!a}: no file can have this name", param, context)


def main() -> None:
    """Run the command line; what the user can mend is one line and exit status 1."""
    terminal.any_text()
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
        mend = "lower memory_gib, train or test of the scale, or use a larger machine"
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
        from firstorder.jobs import plan

        overrides = dict(_change(change) for change in changes)
        given = {"scale": scale, "results": results}
        overrides.update({key: value for key, value in given.items() if value is not None})
        return function(plan.of_job(overrides), **arguments)

    return wrapped


def _change(text: str) -> tuple[str, Any]:
    from firstorder.config.validation import parse

    key, separator, value = text.partition("=")
    if not separator:
        raise click.UsageError(f"--set {text!r}: write KEY=VALUE")
    return key, parse(value, f"--set {key}")


def _step_command(name: str, keys: tuple[str, ...], help: str) -> click.Command:
    """The command that runs one job of a step."""

    def run(plan: Any, **key: str) -> None:
        from firstorder.jobs.run import run as run_job

        run_job(plan, plan.job(name, *(key[each] for each in keys)))

    command = click.command(name, help=help)(planned(run))
    command.params += [click.Argument([each]) for each in keys]
    return command


@commands.command("list")
@planned
def list_(plan: Any) -> None:
    """List every artefact of the scale, with the file to ask Snakemake for."""
    from firstorder.publish.steps import artefact_jobs

    for job in artefact_jobs(plan.config):
        first = next(iter(job.outputs.values()))
        click.echo(f"{first}\n    {job.aside['title']} ({job.aside['where']})")


@commands.command()
@click.option("--keep", is_flag=True, help="Write what jobs took here to config/measured.csv.")
@planned
def plan(plan: Any, keep: bool) -> None:
    """Say what a run of the scale takes, by step: jobs, time, memory, disk."""
    from firstorder.doctor import work
    from firstorder.jobs import forecast

    if keep:
        click.echo(forecast.keep(plan.config))
    for line in work(plan):
        click.echo(line)


@commands.command()
@planned
def losses(plan: Any) -> None:
    """List the losses of config/losses.yaml."""
    for name, loss in plan.config.losses.items():
        given = ", ".join(f"{key} = {value}" for key, value in loss.parameters.items())
        click.echo(f"{name:<16} {loss.label}" + (f" ({given})" if given else ""))


@commands.command()
@planned
def models(plan: Any) -> None:
    """List the networks that a recipe or a study may name."""
    from firstorder.jobs.code import registry
    from firstorder.jobs.signature import options

    for found in registry("firstorder.models"):
        click.echo(f"{found.name:<16} {', '.join(options(found.entry)) or 'no options'}")


@commands.command()
@planned
def datasets(plan: Any) -> None:
    """List the datasets of config/datasets.yaml."""
    for name, dataset in plan.config.datasets.items():
        size = f"{dataset.train:,} + {dataset.test:,}"
        click.echo(f"{name:<16} {dataset.title}; {size}, {'x'.join(map(str, dataset.shape))}")


@commands.command()
@planned
def scales(plan: Any) -> None:
    """List the scales of config/scales.yaml."""
    from firstorder.config import Scale
    from firstorder.config.validation import check_entries

    for name, scale in check_entries(Scale, plan.config.root / "scales.yaml").items():
        click.echo(f"{name:<8} {scale.data}; {scale.hardware}")


@commands.command()
@planned
@click.option("--delete", is_flag=True, help="Delete them.")
def orphans(plan: Any, delete: bool) -> None:
    """List the files of results that nothing of the configuration makes any more."""
    from firstorder.jobs import orphans as files_of_nobody
    from firstorder.jobs.paths import paths

    found = list(files_of_nobody.orphans(plan))
    for path in found:
        click.echo(path)
    if delete:
        files_of_nobody.delete(paths(plan.config).root, found)


@commands.command()
@planned
@click.argument("path", type=Place(dir_okay=False))
def explain(plan: Any, path: str) -> None:
    """Print the chain from a result at PATH back to raw data.

    Exit status 1 when a file in it is missing or is not what was recorded.
    """
    from firstorder.jobs.paths import paths
    from firstorder.publish import explain as chain

    text, intact = chain.explain(path, plan.jobs(), paths(plan.config).manifest, plan.code)
    click.echo(text)
    if not intact:
        raise UserError(
            f"{path}: not everything is as it was recorded: `make` makes again what is MISSING, "
            "and what is CHANGED once it is deleted"
        )


@commands.command()
@click.argument("first", type=Place(exists=True, file_okay=False))
@click.argument("second", type=Place(file_okay=False))
@click.option("--keep", is_flag=True, help="Write what is compared of FIRST to SECOND instead.")
def compare(first: str, second: str, keep: bool) -> None:
    """Compare two folders of results, number by number, claim by claim, and say why they differ.

    Exit status 0: the same within the tolerance of the seeds; 1: they differ; 2: no number can be
    compared.
    """
    from firstorder.publish import compare as comparison

    try:
        if keep:
            comparison.keep(first, second)
            return
        found = comparison.compare(first, second)
    except UserError as error:
        click.echo(f"firstorder: {error}", err=True)
        sys.exit(2)
    for line in found.lines():
        click.echo(line)
    sys.exit(found.status)


@commands.command()
@planned
@click.option("--strict", is_flag=True, help="Exit with status 1 when a claim fails.")
@click.option("--failed", "only", is_flag=True, help="Print claims that fail or are not resolved.")
def verify(plan: Any, strict: bool, only: bool) -> None:
    """Print the verdict on every claim of the scale."""
    import shutil

    from firstorder.jobs import ledger
    from firstorder.jobs.paths import paths
    from firstorder.publish import judge

    job = plan.job("claims")
    ledger.check(paths(plan.config).root, job, plan.makers())
    columns = shutil.get_terminal_size((100, 24)).columns
    frame = judge.judge(job.spec, job.inputs)
    text, failed = judge.verify(job.spec, frame, min(max(columns, 60), 120), only_failed=only)
    click.echo(text)
    if strict and failed:
        what = "claim fails" if failed == 1 else "claims fail"
        raise UserError(f"{failed} {what} at scale {plan.config.settings.scale}")


@commands.command()
@planned
def doctor(plan: Any) -> None:
    """Check environment, devices and data sources for the chosen scale.

    Exit status 1 when something is missing.
    """
    from firstorder.doctor import examine

    text, ready = examine(plan)
    click.echo(text)
    if not ready:
        sys.exit(1)


if __name__ == "__main__":
    main()
