"""The doctor and its forecast: what is there, what is missing, how long it will take."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from projects import ROOT, Project

from firstorder import doctor, files
from firstorder.errors import ConfigError
from firstorder.jobs import forecast, ledger, plan
from firstorder.jobs.context import Context
from firstorder.jobs.plan import Plan

ARCHIVE = "cifar-10-python.tar.gz"


def use(toy: Project, dataset: str) -> None:
    """Let the toy study measure another dataset."""
    toy.edit(
        "studies/toy/study.yaml",
        lambda study: [each["select"].update(dataset=dataset) for each in _selecting(study)],
    )


def _selecting(study: dict) -> list[dict]:
    return [*study["artefacts"].values(), *study["claims"].values()]


def planned() -> Plan:
    return plan.make("config", {})


def test_a_machine_without_the_data_is_not_ready(
    toy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(toy, "cifar10")
    monkeypatch.setattr(doctor, "_answers", lambda url: False)
    text, ready = doctor.examine(planned())
    assert f"{ARCHIVE} is not here; no answer from www.cs.toronto.edu" in text
    assert "put the file into resources/cifar10/" in text
    assert text.endswith("missing") and not ready


def test_files_in_place_or_in_a_local_folder_are_not_asked_of_the_network(
    toy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(toy, "cifar10")
    monkeypatch.setattr(doctor, "_answers", lambda url: pytest.fail("asked the network"))
    files.write_text(toy.folder / "elsewhere" / ARCHIVE, "bytes")
    elsewhere = str(toy.folder / "elsewhere")
    unchecked = [{"name": ARCHIVE, "urls": ["https://example.org/cifar"]}]
    change = {"folders": [elsewhere], "files": unchecked}
    toy.edit("datasets.yaml", lambda known: known["cifar10"].update(change))
    assert f"{ARCHIVE} will be taken from {elsewhere}" in doctor.examine(planned())[0]
    files.write_text(toy.folder / "resources" / "cifar10" / ARCHIVE, "bytes")
    assert f"{ARCHIVE} is in place" in doctor.examine(planned())[0]


def test_what_nothing_serves_or_what_is_in_the_way_is_told_with_the_mend(toy: Project) -> None:
    use(toy, "cifar10")
    change = {"files": [{"name": ARCHIVE}], "help": ""}
    toy.edit("datasets.yaml", lambda known: known["cifar10"].update(change))
    text, ready = doctor.examine(planned())
    assert f"place it at resources/cifar10/{ARCHIVE}" in text and not ready
    (toy.folder / "resources/cifar10").mkdir(parents=True)
    (toy.folder / "resources/cifar10" / ARCHIVE).symlink_to("nowhere")
    text, ready = doctor.examine(planned())
    assert "move it away, or put the right file there" in text and not ready


@pytest.mark.parametrize(
    ("head", "get", "expected"), [(200, 500, True), (405, 200, True), (405, 404, False)]
)
def test_a_server_that_gives_no_heads_is_asked_for_the_file(
    head: int, get: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(status: int) -> requests.Response:
        response = requests.Response()
        response.status_code, response.raw = status, io.BytesIO()
        return response

    monkeypatch.setattr(requests, "head", lambda *_, **__: answer(head))
    monkeypatch.setattr(requests, "get", lambda *_, **__: answer(get))
    assert doctor._answers("https://example.org/file") == expected


def test_bundled_data_needs_no_download_and_every_step_is_listed(toy: Project) -> None:
    text, ready = doctor.examine(planned())
    assert "digits: bundled, nothing to download" in text
    assert text.endswith("ready") and ready
    for step in ("prepare", "measure", "table", "claims", "manifest", "crate", "paper"):
        assert re.search(rf"\n +{step} +1 ", text)


def test_the_command_line_fails_when_something_is_missing(toy: Project) -> None:
    use(toy, "cifar10")
    toy.edit("datasets.yaml", lambda known: known["cifar10"]["files"][0].update(urls=[]))
    done = toy.firstorder("doctor", check=False)
    assert done.returncode == 1 and done.stdout.rstrip().endswith("missing")
    assert "Traceback" not in done.stderr


def used(made: Plan, seconds: float, scale: str, **changes: object) -> Path:
    """Enter that measuring the digits took so long into the ledger of a scale."""
    job = made.job("measure", "digits")
    ledger.write(f"results/{scale}", job, made.code(job), "cpu: any", seconds)
    path = ledger.place(f"results/{scale}", ledger.name(job))
    value = {**files.read_json(path), **changes}
    value.pop("digest")
    files.write_json(path, {**value, "digest": files.digest(value)})
    return path


def test_the_forecast_is_declared_until_the_same_was_run_at_any_scale(toy: Project) -> None:
    made = planned()
    before = row(made, "measure")
    assert "10 minutes" in before and before.endswith("0 of 1")
    used(made, 36.0, "another")
    after = row(made, "measure")
    assert f" {36 + forecast.START_SECONDS:.0f} seconds" in after and after.endswith("1 of 1")


@pytest.mark.parametrize(
    "changes", [{"spec": "of another"}, {"step": "table"}, {"device": "cuda: any"}]
)
def test_only_the_same_step_spec_and_device_count_as_measured(
    toy: Project, changes: dict[str, object]
) -> None:
    made = planned()
    used(made, 36.0, "smoke", **changes)
    works = {work.step: work for work in forecast.work(jobs(made), made.config, "cpu")}
    assert works["measure"].measured == 0


def test_what_was_never_run_here_takes_as_long_as_elsewhere(toy: Project) -> None:
    made = planned()
    assert "10 minutes" in row(made, "measure")
    used(made, 30.0, made.config.settings.scale, device="cpu: of a friend")
    assert forecast.keep(made.config) == Path("config/measured.csv")
    shutil.rmtree("results")
    assert f" {30 + forecast.START_SECONDS:.0f} seconds" in row(made, "measure")
    assert row(made, "measure").endswith("0 of 1")
    assert "took as long elsewhere (cpu: of a friend)" in "\n".join(doctor.work(made))
    works = {each.step: each for each in forecast.work(jobs(made), made.config, "cuda")}
    assert works["measure"].elsewhere == ""
    expected, limits = forecast.expected(jobs(made), made.config)
    assert expected == {"measure": 30 + forecast.START_SECONDS}
    assert limits["table"] == 600 + forecast.START_SECONDS and "measure" not in limits
    assert "together at most" in "\n".join(doctor.work(made))


def test_a_plan_for_gpus_counts_their_hours_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver = tmp_path / "nvidiactl"
    monkeypatch.setattr(forecast, "DRIVER", str(driver))
    cases = (("cuda", False, "GPU"), ("auto", False, "core"), ("cpu", True, "core"),
             ("auto", True, "GPU"))  # fmt: skip
    for device, loaded, unit in cases:
        if loaded:
            driver.touch()
        made = plan.make(str(ROOT / "config"), {"scale": "paper", "device": device})
        assert f" {unit} " in row(made, "train ")
        assert ("on one GPU" in "\n".join(doctor.work(made))) is (unit == "GPU")


def test_times_of_other_scales_and_steps_stay_when_some_are_kept(toy: Project) -> None:
    made = planned()
    scale = made.config.settings.scale
    stay = ["another,measure,cpu: X,1,2.00", f"{scale},table,cpu: X,3,4.00"]
    head, table = "scale,step,device,jobs,seconds", Path("config/measured.csv")
    table.write_text("\n".join([head, *stay, f"{scale},measure,cpu: X,9,9.00"]) + "\n")
    used(made, 30.0, scale, device="cpu: X")
    forecast.keep(made.config)
    found, *rows = table.read_text().splitlines()
    assert found == head
    assert sorted(rows) == sorted([*stay, f"{scale},measure,cpu: X,1,30.00"])


def test_a_job_that_went_on_from_an_earlier_run_tells_no_time(toy: Project) -> None:
    made = planned()
    used(made, 0.1, made.config.settings.scale, resumed=True)
    assert "10 minutes" in row(made, "measure") and row(made, "measure").endswith("0 of 1")
    forecast.keep(made.config)
    assert "measure" not in Path("config/measured.csv").read_text()


def test_what_is_kept_of_a_job_is_the_same_again_to_the_order_of_its_keys(tmp_path: Path) -> None:
    found = {"rows": [{"task": 10, "epoch": 1}], "tasks": {10: 0.5, 3: 0.25}, "pair": (1, 2)}
    first = Context(checkpoints=tmp_path).once("found", lambda: found)
    again = Context(checkpoints=tmp_path).once("found", dict)
    assert json.dumps(first) == json.dumps(again) == json.dumps(found)
    assert first == again


def test_a_context_knows_what_of_its_job_an_earlier_run_had_done(tmp_path: Path) -> None:
    first, result = Context(checkpoints=tmp_path), tmp_path / "result"
    checkpoint = first.checkpoint("begun")
    checkpoint.write_bytes(b"")
    os.utime(checkpoint, (first.started.timestamp() + 1,) * 2)
    result.write_text("1")
    first.once("found", dict)
    first.keep("made", {"result": str(result)})
    assert first.checkpoint("begun").is_file() and first.resumed == []
    second = Context(checkpoints=tmp_path, started=first.started + timedelta(seconds=2))
    second.checkpoint("begun")
    second.once("found", dict)
    assert second.restore("made", {"result": str(result)})
    assert not second.restore("not made", {"result": str(result)})
    assert second.resumed == ["begun", "found", "made"]


@pytest.mark.parametrize(
    "text", ["scale,step\na,b\n", "scale,step,device,jobs,seconds\na,b,cpu: X,1,soon\n"]
)
def test_a_table_of_times_that_is_none_is_named(toy: Project, text: str) -> None:
    Path("config/measured.csv").write_text(text)
    with pytest.raises(ConfigError, match=r"measured\.csv: line 2: .*plan --keep"):
        list(doctor.work(planned()))


def test_a_damaged_entry_of_the_ledger_is_passed_over(toy: Project) -> None:
    made = planned()
    path = used(made, 36.0, "smoke")
    path.write_text(path.read_text().replace("36.0", "37.0"))
    assert row(made, "measure").endswith("0 of 1")


def test_a_job_notes_what_it_took_where_the_forecast_finds_it(finished_toy: Project) -> None:
    found = list(ledger.entries(str(finished_toy.folder / "results")))
    assert {entry.step for entry in found} >= {"prepare", "measure", "table", "claims", "paper"}
    assert all(0 < entry.seconds < 600 for entry in found)


def row(made: Plan, step: str) -> str:
    """What the forecast says of a step."""
    return next(line for line in doctor.work(made) if line.startswith(step))


def jobs(made: Plan) -> list:
    return list(made.jobs().values())


def test_an_account_or_a_shell_that_snakemake_cannot_use_is_named(
    toy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", nobody)
    (toy.folder / "file").touch()
    monkeypatch.setenv("HOME", str(toy.folder / "file"))
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    text, ready = doctor.examine(planned())
    assert f"cannot write its cache, {toy.folder}/file/.cache" in text
    assert "has no name" in text and "PYTHONPATH is /elsewhere" in text
    assert not ready and text.endswith("3 things are missing")


def test_a_user_without_a_home_folder_is_told(
    toy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.delenv("HOME")
    monkeypatch.setenv("USER", "user")
    monkeypatch.setenv("XDG_CACHE_HOME", str(toy.folder))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    text, ready = doctor.examine(planned())
    assert "has no home folder" in text and "-> export HOME=" in text
    assert not ready and text.endswith("1 thing is missing")
