"""The engine and the losses need torch, numpy and scipy only."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import importlib, pkgutil, sys

class Blocked:
    names = {
        "pydantic", "yaml", "snakemake", "pandas", "matplotlib", "seaborn", "sklearn", "jax",
        "torchvision", "click", "requests", "PIL", "tqdm", "threadpoolctl", "typst", "pygments",
    }

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"{name} is not to be imported")

sys.meta_path.insert(0, Blocked())
package = importlib.import_module(sys.argv[1])
names = [f"{package.__name__}.{each.name}" for each in pkgutil.iter_modules(package.__path__)]
for name in sorted(set(names) - set(sys.argv[2:])):
    importlib.import_module(name)
print(len(names))
"""


def imported(*arguments: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr.splitlines()[-1]
    return int(done.stdout)


def test_losses_need_torch_only() -> None:
    assert imported("firstorder.losses") > 5


def test_the_engine_needs_torch_numpy_and_scipy_only() -> None:
    assert imported("firstorder.linearized") > 10


def test_dynamics_need_torch_and_numpy_only() -> None:
    assert imported("firstorder.dynamics") > 4


def test_the_loop_of_all_trainings_needs_no_configuration() -> None:
    assert imported("firstorder.training", "firstorder.training.bag_of_words") > 10
