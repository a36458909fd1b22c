"""The editors' schemas of `config/` are current, and agree with the files that are shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError
from projects import ROOT, Project

from firstorder import schema

SHARED = ("config", "scales", "datasets", "losses", "recipes")
KINDS = {f"{name}.yaml": name for name in SHARED} | {
    path.relative_to(ROOT / "config").as_posix(): (
        f"{path.parent.name}-{'study' if path.stem == 'study' else 'scale'}"
    )
    for path in sorted((ROOT / "config" / "studies").glob("*/*.yaml"))
}


def content(path: Path) -> Any:
    """A YAML file as JSON sees it: all keys are text."""
    return json.loads(json.dumps(yaml.safe_load(path.read_text())))


def validator(project: Path, kind: str) -> Draft202012Validator:
    return Draft202012Validator(
        json.loads((project / "config" / "schema" / f"{kind}.schema.json").read_text())
    )


def test_the_schemas_are_current(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert schema.main(["--check"]) == 0, "write them with `make schema`"


def test_a_stale_schema_is_named_and_written_again(
    toy: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(toy.folder)
    assert schema.main([]) == 0
    assert schema.main(["--check"]) == 0
    Path("config/schema/losses.schema.json").write_text("{}")
    assert schema.main(["--check"]) == 1
    assert "config/schema/losses.schema.json: not current" in capsys.readouterr().err
    assert schema.main([]) == 0
    assert capsys.readouterr().out == "written: config/schema/losses.schema.json\n"


@pytest.mark.parametrize("file", KINDS)
def test_every_shipped_file_fits_its_schema(project: Path, file: str) -> None:
    validator(project, KINDS[file]).validate(content(project / "config" / file))


def test_every_file_of_the_configuration_has_a_schema(project: Path) -> None:
    files = {
        path.relative_to(project / "config").as_posix() for path in project.glob("config/**/*.yaml")
    }
    assert files == set(KINDS)
    assert {path.name for path in project.glob("config/schema/*")} == {
        f"{kind}.schema.json" for kind in KINDS.values()
    }


@pytest.mark.parametrize(
    ("file", "entry", "key"),
    [("recipes.yaml", "digits", "epoch"), ("losses.yaml", "ce", "lable")],
)
def test_an_unknown_key_is_refused_by_the_schema_too(
    project: Path, file: str, entry: str, key: str
) -> None:
    wrong = content(project / "config" / file)
    wrong[entry][key] = 1
    with pytest.raises(ValidationError, match=key):
        validator(project, KINDS[file]).validate(wrong)


def test_the_text_below_a_field_is_its_description(project: Path) -> None:
    recipe = validator(project, "recipes").schema["$defs"]["Recipe"]
    assert (
        recipe["properties"]["clip"]["description"]
        == "Bound on the Euclidean norm of the gradient."
    )


def test_the_models_of_a_study_have_schemas_of_their_own(
    toy: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert schema.main([]) == 0
    assert "config/schema/toy-study.schema.json" in capsys.readouterr().out
    scale = json.loads(Path("config/schema/toy-scale.schema.json").read_text())
    assert list(scale["properties"]) == ["power"]
