"""codecheck.yml: the files that a codechecker compares, each with what it shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

VERSION = "https://codecheck.org.uk/spec/config/1.0/"


def codecheck(manifest: dict[str, Any], folder: Path, citation: dict[str, Any]) -> str:
    """The text of codecheck.yml below `folder`; who checks adds codechecker, report and dates."""

    def within(path: str) -> str:
        return Path(path).absolute().relative_to(folder.absolute()).as_posix()

    listed = [
        {"file": within(path), "comment": f"{result['title']} ({result['where']})"}
        for result in manifest["results"].values()
        for path in result["files"]
        if path.endswith((".csv", ".pdf"))
    ]
    listed += [
        {"file": within(path), "comment": "Every claim with its verdict"}
        for path in manifest["claims"]
        if path.endswith(".csv")
    ]
    value = {
        "version": VERSION,
        "paper": {
            "title": citation["title"],
            "authors": [{"name": named(author)} for author in citation["authors"]],
        },
        "manifest": listed,
        "summary": f"Scale {manifest['scale']}, commit {manifest['commit']}; `make` rebuilds all.",
    }
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)


def named(author: dict[str, str]) -> str:
    """An author of CITATION.cff, a person or an organisation, as one name."""
    return author.get("name") or f"{author['given-names']} {author['family-names']}"
