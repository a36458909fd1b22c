"""The number of threads decides neither verdicts nor tuned values: a reduced set, run for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
STEPS = """
import json, os, sys
import torch
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import made_up_trainings as made_up
import small_trainings as small
from firstorder.studies.symmetrization.settings import NAME, Select

small.write_project(Path.cwd())
made_up.edit(
    "recipes.yaml", {"short.epochs": 6, "short.lr": 0.05, "short.threads": int(sys.argv[2])}
)
made_up.edit(small.SCALE, {"seeds": [1, 2, 3]})
config = made_up.edit(f"studies/{NAME}/study.yaml", {"losses.few": ["ce", "gce", "ce-equal"]})
for noise in ("symmetric-0.4", "symmetric-0.8"):
    small.perform(config, "corrupt", "cifar10", noise)
record = json.loads(
    Path(small.perform(config, "tune", "images", "ce-equal").outputs["chosen.json"]).read_text()
)
for noise in ("symmetric-0.4", "symmetric-0.8"):
    for loss in ("ce", "gce", "ce-equal"):
        small.perform(config, "train", "images", noise, loss)
select = Select(cells="curves", losses="few")
verdicts = [
    made_up.judge(config, "gain", select, pairs=[["ce", other]], rates=[0.4, 0.8], gap=gap)
    for other in ("gce", "ce-equal") for gap in (-0.1, 0.0, 0.1)
]
assert torch.get_num_threads() == int(sys.argv[2])
print(json.dumps([record["chosen"], record["stages"], [v.status for v in verdicts]]))
"""


def test_one_thread_and_two_give_the_same_verdicts_and_tuned_values(tmp_path: Path) -> None:
    found = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", STEPS, str(HERE), str(count)],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": str(count)},  # of what is not torch
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    assert found[0] == found[1]
    assert len(set(found[0][2])) > 1  # more than one kind of verdict
