"""JSON schemas of the files in `config/`, for editors: made from the models of `config`.

`python -m firstorder.schema` writes them to `config/schema/`; with `--check` it only says
whether they are current.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from firstorder import files
from firstorder.config import (
    Dataset,
    LinearizedStudy,
    Loss,
    Recipe,
    Scale,
    Settings,
    Slug,
    SymmetrizationStudy,
    datasets,
    scales,
    studies,
    training,
)

FOLDER = Path("config/schema")
CONTENTS: dict[str, Any] = {
    "config": Settings,
    "scale": Scale,
    "datasets": dict[Slug, Dataset],
    "losses": dict[Slug, Loss],
    "recipes": dict[Slug, Recipe],
    "symmetrization": SymmetrizationStudy,
    "linearized": LinearizedStudy,
}
"""What each kind of file holds."""


def schemas() -> dict[Path, str]:
    """The text of every schema, by its path."""
    notes = descriptions()
    texts = {}
    for name, content in CONTENTS.items():
        schema = TypeAdapter(content).json_schema()
        for part in (schema, *schema.get("$defs", {}).values()):
            for key, value in part.get("properties", {}).items():
                if note := notes.get(f"{part['title']}.{key}"):
                    value["description"] = note
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        text = json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False)
        texts[FOLDER / f"{name}.schema.json"] = text + "\n"
    return texts


def descriptions() -> dict[str, str]:
    """The text below every field of the models, by `Model.field`."""
    found = {}
    sources = (inspect.getsource(module) for module in (datasets, scales, studies, training))
    for model in (statement for source in sources for statement in ast.parse(source).body):
        if not isinstance(model, ast.ClassDef):
            continue
        for field, below in zip(model.body, model.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            ):
                found[f"{model.name}.{field.target.id}"] = " ".join(below.value.value.split())
    return found


def main(arguments: list[str]) -> int:
    """Write the schemas, or with `--check` list those that are not current."""
    texts = schemas()
    stale = [
        path
        for path, text in texts.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path}: not current; write it with `make schema`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        files.write_text(path, texts[path])
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
