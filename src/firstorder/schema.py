"""JSON schemas of the files in `config/`, for editors: made from the models of `config`.

`python -m firstorder.schema` writes them to `config/schema/`; with `--check` it only says
whether they are current.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from firstorder import files
from firstorder.config import Dataset, Loss, Recipe, Scale, Settings, Slug
from firstorder.config.validation import read
from firstorder.jobs.study import find

FOLDER = Path("config/schema")


def contents() -> dict[str, Any]:
    """What each kind of file holds."""
    found: dict[str, Any] = {
        "config": Settings,
        "scales": dict[Slug, Scale],
        "datasets": dict[Slug, Dataset],
        "losses": dict[Slug, Loss],
        "recipes": dict[Slug, Recipe],
    }
    for name in read(Path("config/config.yaml"))["studies"]:
        study = find(name)
        found |= {f"{name}-study": study.declared, f"{name}-scale": study.scale}
    return found


def schemas() -> dict[Path, str]:
    """The text of every schema, by its path."""
    texts = {}
    for name, content in contents().items():
        schema = TypeAdapter(content).json_schema()
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        text = json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False)
        texts[FOLDER / f"{name}.schema.json"] = text + "\n"
    return texts


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
