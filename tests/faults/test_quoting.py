"""Nothing that a configuration says is run by a shell."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from projects import ROOT, load, make_project
from pydantic import ValidationError
from snakemake.utils import QuotedFormatter, SequenceFormatter

from firstorder.config import SLUG, ConfigError, File, Settings
from firstorder.jobs.paths import Paths
from firstorder.jobs.study import known_steps

HOSTILE = [
    "$(touch pwned)",
    "`touch pwned`",
    "a; touch pwned",
    "a' ; touch pwned ; '",
    'a" ; touch pwned ; "',
    "a\\",
    "a && touch pwned || b | c > d < e",
    "* ? [a] ! # ~ % ^ = ,",
    "é ü 中 \u2028",
    " ",
]
REFUSED = ["a\nb", "a\rtouch pwned", "\x00", "\x1b[2J", "{a}", "a{{", "", "/", "~/a", "-rf"]

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
folders = st.one_of(texts, st.sampled_from(HOSTILE), st.tuples(texts, texts).map("/".join))


def commands() -> dict[str, str]:
    """The shell command of every rule, by its verb."""
    found = {}
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for match in re.finditer(r"shell:\n((?:\s*\"[^\n]*\"\n?)+)", path.read_text()):
            command = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', match[1]))
            found[command.split()[1]] = command
    return found


def job(results: str, file: str, slug: str) -> dict[str, object]:
    """What Snakemake fills a command with."""
    names = {key for step in known_steps().values() for key in step.keys} - {"file"}
    log = Paths(results, "resources", "smoke").log("fetch", slug, file)
    return {
        "params": SimpleNamespace(at=["--scale=smoke", f"--results={results}"]),
        "wildcards": SimpleNamespace(**dict.fromkeys(names, slug), file=file),
        "log": log,
    }


def allowed(results: str, file: str) -> tuple[str, str] | None:
    """The values as the configuration takes them; None when it refuses them."""
    try:
        return Settings(results=results).results, File(name=file).name
    except ValidationError:
        return None


def test_every_rule_runs_a_command_and_every_value_in_it_is_quoted() -> None:
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    assert len(re.findall(r"^ +shell:$", rules, re.MULTILINE)) == len(commands())
    assert not re.search(r"^ +(run|script|notebook|wrapper):", rules, re.MULTILINE)
    for verb, command in commands().items():
        values = re.findall(r"{(.*?)}", command)
        assert values and all(value.endswith(":q") for value in values), verb


@settings(max_examples=300, deadline=None)
@given(results=folders, file=folders, slug=st.from_regex(SLUG, fullmatch=True))
@example(results="a b'\"$(touch pwned)", file="`x`;y", slug="ce")
def test_whatever_the_configuration_allows_reaches_a_command_as_one_word(
    results: str, file: str, slug: str
) -> None:
    values = allowed(results, file)
    if values is None:
        return
    results, file = values
    for verb, command in commands().items():
        filled = job(results, file, slug)
        words = shlex.split(quote(command, filled))
        assert words[:4] == ["firstorder", verb, "--scale=smoke", f"--results={results}"]
        assert words[-3:] == [">", str(filled["log"]), "2>&1"]
        assert set(words[4:-3]) <= {slug, file}


def quote(command: str, values: dict[str, object]) -> str:
    """The command as Snakemake fills it in."""
    formatter = SequenceFormatter(
        separator=" ", element_formatter=QuotedFormatter(quote_func=shlex.quote)
    )
    return str(formatter.format(command, **values))


@pytest.mark.parametrize("results", HOSTILE[:-1])
def test_a_shell_hands_hostile_names_on_and_runs_nothing(results: str, tmp_path: Path) -> None:
    (tmp_path / "firstorder").write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    (tmp_path / "firstorder").chmod(0o755)
    template = commands()["fetch"].removesuffix(" > {log:q} 2>&1")
    command = quote(template, job(results, results.replace("/", "_"), "digits"))
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\0")[2] == f"--results={results}"
    assert [path.name for path in tmp_path.iterdir()] == ["firstorder"]


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_no_quoting_saves_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load(ROOT / "config", {"results": name})
    message = str(refused.value)
    assert "results: " in message and "is not allowed: " in message and "\n" not in message
    with pytest.raises(ValidationError):
        File(name=name)


def test_snakemake_runs_a_job_in_a_folder_of_hostile_name(tmp_path: Path) -> None:
    results = 'it\'s "a" $(touch pwned); `touch pwned` & touch pwned | b > c * [d] # \\ %'
    project = make_project(tmp_path)
    project.edit("config.yaml", lambda value: value.update(results=results))
    target = f"{results}/tiny/datasets/digits.safetensors"
    done = project.snakemake(target)
    assert (tmp_path / target).is_file(), done.stderr
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {".snakemake", "config", "paper", results}


def test_wildcards_are_names_that_a_shell_takes_for_one_word() -> None:
    rules = (ROOT / "workflow/rules/common.smk").read_text()
    (pattern,) = set(re.findall(r'r"(\[a-zA-Z[^"]*\]\+)"', rules))
    for hostile in (*HOSTILE, *REFUSED):
        assert not SLUG.fullmatch(hostile)
        # One that begins like an option is one word, and the key of no job: planning refuses it.
        assert hostile == "-rf" or not re.fullmatch(pattern, hostile)


def test_a_slug_that_is_no_name_is_refused_before_the_dag(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    losses = yaml.safe_load((tmp_path / "config/losses.yaml").read_text())
    losses["$(touch pwned)"] = losses["ce"]
    (tmp_path / "config/losses.yaml").write_text(yaml.safe_dump(losses))
    with pytest.raises(ConfigError, match="is not allowed as a name"):
        load(project.folder / "config")
