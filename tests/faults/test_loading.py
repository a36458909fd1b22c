"""Files that are loaded run nothing and write nowhere else."""

from __future__ import annotations

import ast
import io
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from projects import ROOT

from firstorder.config import Dataset, File
from firstorder.data.prepare import prepare
from firstorder.data.prepared import read_prepared
from firstorder.errors import DataError
from firstorder.files import sha256
from firstorder.linearized.mapped import opened
from firstorder.studies.symmetrization.labels import read_labels

SOURCES = sorted((ROOT / "src").rglob("*.py"))
FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "importlib.import_module",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load", "joblib.load",
    "pd.read_pickle", "marshal.loads", "shelve.open", "yaml.unsafe_load", "yaml.full_load",
}  # fmt: skip
PERMITTED = {
    # The user's own loss, network or reader, named in `config/`, is a program by its nature.
    ("own.py", "importlib.import_module"),
    # An annotation of an option, without builtins; its names are those of a fixed list.
    ("jobs/signature.py", "eval"),
    # A reader's name is that of a file of this package: datasets.yaml is checked against them.
    ("data/readers/__init__.py", "importlib.import_module"),
}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Every call in the source: its module, the name of what is called, the call."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                module = str(path.relative_to(ROOT / "src")).removeprefix("firstorder/")
                yield module, ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> Any:
    """The constant that a call gives for a keyword."""
    found = [each.value for each in call.keywords if each.arg == name]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


def test_the_source_calls_nothing_that_runs_what_it_reads() -> None:
    found = {(module, name) for module, name, _ in calls() if name in FORBIDDEN}
    assert found <= PERMITTED


def test_arrays_are_loaded_without_pickles() -> None:
    loads = [(module, call) for module, name, call in calls() if name == "np.load"]
    assert len(loads) >= 3
    for module, call in loads:
        assert keyword(call, "allow_pickle") is False, module


def test_yaml_is_loaded_by_loaders_that_build_plain_values() -> None:
    for module, name, call in calls():
        if name == "yaml.load":
            assert module == "config/validation.py"
            loader = [ast.unparse(each.value) for each in call.keywords if each.arg == "Loader"]
            assert loader == ["Loader"]  # a SafeLoader: firstorder.config.validation
    import yaml

    from firstorder.config.validation import Loader

    assert issubclass(Loader, yaml.SafeLoader | yaml.CSafeLoader)


def test_processes_are_started_without_a_shell() -> None:
    for module, name, call in calls():
        if name.startswith("subprocess."):
            assert keyword(call, "shell") is None, module
            assert not isinstance(call.args[0], ast.Constant | ast.JoinedStr), module


def test_nothing_is_unpickled() -> None:
    """The published pickles are read by `firstorder.data.pickles`, which calls nothing."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {getattr(node, "module", None), *(alias.name for alias in node.names)}
                assert not names & {"pickle", "_pickle", "dill", "cloudpickle", "joblib"}, path


class Program:
    """A pickle of this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_labels_arrays_and_datasets_that_are_pickles_run_nothing(tmp_path: Path) -> None:
    ran, path = tmp_path / "ran", tmp_path / "file.npz"
    program = np.array([Program(ran)], dtype=object)
    np.savez(path, labels=program, clean=program, flipped=program, realised=program)
    with pytest.raises(DataError, match="damaged"):
        read_labels(str(path))
    np.save(tmp_path / "kernel.npy", program, allow_pickle=True)
    with pytest.raises(DataError, match="damaged"):
        opened(str(tmp_path / "kernel.npy"))
    for reader in (read_labels, opened, read_prepared):
        path.write_bytes(pickle.dumps(Program(ran)))
        with pytest.raises(DataError):
            reader(str(path))
    assert not ran.exists()


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE,
                                  tarfile.FIFOTYPE, tarfile.DIRTYPE])  # fmt: skip
def test_members_of_an_archive_that_are_no_files_are_not_followed(
    kind: bytes, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(pickle.dumps({"data": 1}))
    folder = tmp_path / "raw"
    folder.mkdir()
    path = folder / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(link("cifar-10-batches-py/batches.meta", str(secret), kind))
        for name in ("../escaped", "/tmp/escaped", "cifar-10-batches-py/../../escaped"):
            member = tarfile.TarInfo(name)
            member.size = 5
            archive.addfile(member, io.BytesIO(b"bytes"))
    declared = Dataset(
        title="tiny",
        reader="cifar",
        shape=(3, 32, 32),
        train=10,
        test=2,
        classes=("a", "b"),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        source="test",
        files=(File(name=path.name, sha256=sha256(path)),),
    )
    with pytest.raises(DataError, match=r"lacks cifar-10-batches-py/batches\.meta"):
        prepare("tiny", declared, folder, tmp_path / "out.safetensors")
    assert sorted(each.name for each in tmp_path.rglob("*")) == [path.name, "raw", "secret"]
    assert not (tmp_path.parent / "escaped").exists()


def test_no_archive_is_unpacked_into_a_folder() -> None:
    names = {name.rpartition(".")[2] for _, name, _ in calls()}
    assert not names & {"extract", "extractall", "unpack_archive"}
