"""Whatever the configuration holds, planning succeeds or says in one line what is wrong."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from projects import SHRUNK, make_project

from firstorder.errors import UserError
from firstorder.jobs import plan

FILES = (
    *("config.yaml", "scales.yaml", "datasets.yaml", "losses.yaml", "recipes.yaml"),
    *(f"studies/{name}/{file}.yaml" for name in SHRUNK for file in ("study", "tiny")),
)


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The files of a tiny project, in whose folder we are."""
    folder, before = tmp_path_factory.mktemp("fuzz"), Path.cwd()
    make_project(folder, tuple(SHRUNK))
    os.chdir(folder)
    yield {name: yaml.safe_load(Path("config", name).read_text()) for name in FILES}
    os.chdir(before)


def outcome(overrides: dict[str, Any]) -> str:
    """What planning says: nothing, or one line. Anything else is raised."""
    try:
        made = plan.make("config", overrides)
        for job in made.jobs().values():
            json.dumps([dict(job.spec), job.demand.__dict__, dict(job.aside)], allow_nan=False)
        for step in made.steps().values():
            step.outputs(made.config, *(f"{{{key}}}" for key in step.keys))
    except UserError as error:
        return str(error)
    return ""


@hostile.PROFILE
@given(data=st.data())
def test_a_changed_file_is_planned_or_refused_in_one_line(
    configuration: dict[str, Any], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(FILES))
    place = data.draw(st.sampled_from(list(hostile.places(configuration[name]))))
    how = data.draw(st.sampled_from(["replace", "replace", "remove", "double", "add"]))
    value = hostile.changed(configuration[name], place, data.draw(hostile.VALUES), how)
    path = Path("config", name)
    before = path.read_text()
    try:
        text = yaml.safe_dump(value, allow_unicode=True, sort_keys=False)
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        said = outcome({})
    finally:
        path.write_text(before)
    assert "\n" not in said and len(said) < 2000 and said.isprintable(), said


@hostile.PROFILE
@given(
    key=st.sampled_from(["scale", "studies", "device", "results", "resources", "x"]),
    value=hostile.VALUES,
)
def test_a_key_of_the_command_line_is_planned_or_refused_in_one_line(
    configuration: dict[str, Any], key: str, value: Any
) -> None:
    said = outcome({key: copy.deepcopy(value)})
    assert "\n" not in said and len(said) < 2000 and said.isprintable(), said
