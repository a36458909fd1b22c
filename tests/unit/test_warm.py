"""Warm starts: one process imports, jobs are forked from it and do not know the difference."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from projects import Project

from firstorder import files
from firstorder.jobs.warm import OFF, VARIABLE

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")

SOURCE = Path(__file__).resolve().parents[2] / "src/firstorder"
CALL = "from firstorder.jobs.warm import main; main()"
HEAD = (
    "import os, sys; from firstorder.jobs import warm;"
    "warm.announce({'table': ['firstorder.publish.tables'], 'figure': []});"
    "print(repr(os.environ.get(warm.VARIABLE)), flush=True); sys.stdin.read()"
)
PACKAGE = {
    "__init__.py": "",
    "jobs/__init__.py": "",
    "jobs/plan.py": "from firstorder.errors import UserError\nVARIABLE = 'PLAN'\n"
    "def read(path):\n    raise UserError\n",
    "cli.py": "import sys\ndef main():\n    exec(sys.argv[2], {})\n",
    "publish/__init__.py": "",
    "publish/tables.py": "import time\ntime.sleep(0.2)\nVALUE = 1\ndef build():\n    pass\n",
}
"""A package of the same name with our server, whose jobs run the Python code they are given."""
WHO = "import os; print(os.getppid(), os.getpid(), flush=True);"
READY = "print('ready', flush=True);"
SLEEP = "import time; time.sleep(60)"


class Run:
    """A head process, and calls of the console script below it."""

    def __init__(self, folder: Path, source: Path, **environment: str) -> None:
        self.folder, self.source = folder, source
        inherited = {key: value for key, value in os.environ.items() if key != VARIABLE}
        # Python knows bytecode by whole seconds, and these tests change sources faster.
        own = {"PYTHONPATH": str(source.parent), "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment = {**inherited, **own, **environment}
        self.head = self._process(HEAD)
        assert self.head.stdout is not None
        self.announced = ast.literal_eval(self.head.stdout.readline())
        self.environment[VARIABLE] = self.announced

    def _process(self, code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [sys.executable, "-P", "-c", code, *arguments],
            **{"cwd": self.folder, "env": self.environment, "text": True, **pipes, **options},
        )

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start `firstorder ARGUMENTS`."""
        return self._process(CALL, *arguments, **options)

    def run(self, code: str, **options: Any) -> tuple[int, str]:
        """Run `firstorder table CODE`; its exit status and standard output."""
        job = self.start("table", code, **options)
        said, complaints = job.communicate(timeout=30)
        self.complaints = complaints
        return job.returncode, said

    def server(self) -> int:
        """The number of the server's process."""
        return int(self.run(WHO)[1].split()[0])

    @property
    def sockets(self) -> Path:
        """The folder with the sockets of the servers."""
        return Path(self.announced.splitlines()[0].partition(":")[2])

    def close(self) -> None:
        """End the head."""
        self.head.communicate()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package of which this test may change the source."""
    folder = tmp_path / "source/firstorder"
    for name, text in PACKAGE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name in (
        "errors.py",
        "files.py",
        "own.py",
        "jobs/warm.py",
        "jobs/zygote.py",
        "jobs/code.py",
    ):
        shutil.copy(SOURCE / name, folder / name)
    return folder


@pytest.fixture
def run(package: Path, tmp_path: Path) -> Iterator[Run]:
    """A run whose servers are gone when the test ends."""
    run = Run(tmp_path, package)
    yield run
    run.close()
    within(10, lambda: not run.sockets.exists())


def within(seconds: float, condition: Callable[[], bool]) -> None:
    """Wait for a condition that must come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether a process has ended (it may wait to be reaped)."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def ready(job: subprocess.Popen[str]) -> int:
    """Wait until a job says who it is; the number of its forked process."""
    assert job.stdout is not None
    return int(job.stdout.readline().split()[1])


def test_jobs_that_start_at_once_share_one_server(run: Run) -> None:
    jobs = [run.start("table", WHO) for _ in range(6)]
    servers = {job.communicate(timeout=30)[0].split()[0] for job in jobs}
    assert len(servers) == 1 and str(os.getpid()) not in servers
    assert run.server() == int(servers.pop())


def test_the_server_has_one_thread_and_none_of_the_first_jobs_files(run: Run) -> None:
    server = Path(f"/proc/{run.server()}")
    assert len(list((server / "task").iterdir())) == 1
    deadline = time.monotonic() + 20
    while len(list((server / "fd").iterdir())) > 7 and time.monotonic() < deadline:
        time.sleep(0.05)  # the job that started it is still being taken leave of
    opened = [os.readlink(each) for each in (server / "fd").iterdir()]
    assert opened.count(os.devnull) == 3
    own = ("/dev/null", "socket:", "anon_inode:", str(run.sockets))
    assert all(each.startswith(own) for each in opened)
    assert len(opened) <= 7  # the listening socket, its lock, and the head twice


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("pass", 0),
        ("import sys; sys.exit(3)", 3),
        ("import os; os._exit(4)", 4),
        ("1 / 0", 1),
        ("import sys; sys.exit('no number')", 1),
        ("import os; os.kill(os.getpid(), 9)", 128 + 9),
        ("import os; os.abort()", 128 + 6),
    ],
)
def test_exit_statuses_are_those_of_a_process_of_its_own(run: Run, code: str, status: int) -> None:
    assert run.run(code)[0] == status
    assert ("ZeroDivisionError" in run.complaints) == ("1 / 0" in code)
    assert ("no number" in run.complaints) == ("no number" in code)
    run.environment[VARIABLE] = OFF
    assert run.run(code)[0] == (status if status < 128 else 128 - status)


def test_a_job_reads_and_writes_the_files_that_it_was_given(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from a file")
    code = "import sys; print(sys.stdin.read()); print('error', file=sys.stderr)"
    for _ in range(2):
        with open(tmp_path / "in") as given, open(tmp_path / "out", "w") as out:
            job = run.start("table", code, stdin=given, stdout=out, stderr=subprocess.STDOUT)
            assert job.wait(30) == 0
        assert sorted((tmp_path / "out").read_text().split("\n")) == ["", "error", "from a file"]


def test_a_job_has_the_folder_the_environment_and_the_limits_of_its_call(
    run: Run, tmp_path: Path
) -> None:
    code = (
        "import os, resource as r, sys;"
        "print(os.getcwd(), os.environ.get('OMP_NUM_THREADS'), os.umask(0), os.nice(0), sys.argv,"
        "r.getrlimit(r.RLIMIT_NOFILE), r.getrlimit(r.RLIMIT_CORE), os.sched_getaffinity(0))"
    )
    other = tmp_path / "other folder"
    other.mkdir()
    servers = set()
    for options in (
        {},
        {"cwd": other},
        {"env": {**run.environment, "OMP_NUM_THREADS": "7"}},
        {"umask": 0o27},
        {"preexec_fn": lambda: os.nice(3)},
    ):
        servers.add(run.run(WHO, **options)[1].split()[0])
        _, warm = run.run(code, **options)
        environment = {**run.environment, **options.get("env", {}), VARIABLE: OFF}  # type: ignore[dict-item]
        _, cold = run.run(code, **{**options, "env": environment})
        assert warm == cold != ""
    assert len(servers) == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_job_which_may_end_in_its_own_way(run: Run, number: int) -> None:
    code = f"import signal, sys; signal.signal({number}, lambda *_: sys.exit(5));" + WHO + SLEEP
    job = run.start("table", code)
    ready(job)
    job.send_signal(number)
    assert job.wait(10) == 5
    job.communicate()


def test_a_job_that_holds_no_signals_ends_by_them(run: Run) -> None:
    job = run.start("table", WHO + SLEEP)
    pid = ready(job)
    job.terminate()
    assert job.wait(10) == 128 + signal.SIGTERM
    assert gone(pid)
    job.communicate()


def test_a_killed_job_leaves_no_process_that_goes_on(run: Run) -> None:
    # It holds the interpreter's lock and all signals that can be held.
    busy = "import re, signal; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 15)];"
    busy += WHO + "re.match('(a+)+b', 'a' * 40)"
    jobs = [run.start("table", busy) for _ in range(2)]
    pids = [ready(job) for job in jobs]
    jobs[0].kill()
    within(2, lambda: gone(pids[0]))
    assert not gone(pids[1]) and jobs[1].poll() is None
    jobs[1].kill()
    within(2, lambda: gone(pids[1]))
    for job in jobs:
        job.communicate()


def test_the_sockets_are_closed_to_others_and_go_with_the_run(run: Run) -> None:
    run.server()
    folder = run.sockets
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)  # somebody else might have put a socket there
    job = run.start("table", WHO)
    assert job.communicate(timeout=30)[0].split()[0] == str(os.getpid())
    folder.chmod(0o700)
    run.head.kill()
    within(10, lambda: not folder.exists())


@pytest.mark.parametrize("more", [(), ("--mount-proc",)], ids=["same /proc", "own /proc"])
def test_a_server_in_another_process_namespace_is_not_used(run: Run, more: tuple[str, ...]) -> None:
    alone = ("unshare", "--pid", "--fork", *more)
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], stderr=-3).returncode:
        pytest.skip("no namespace may be made here")
    server = run.server()
    where = "import os; print(os.readlink('/proc/self/ns/pid'), os.getpid())"
    called = [*alone, sys.executable, "-P", "-c", CALL, "table", where]
    done = subprocess.run(
        called, cwd=run.folder, env=run.environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] != os.readlink(f"/proc/{server}/ns/pid")
    assert run.server() == server


def test_arguments_that_fit_no_message_reach_a_job_whole(run: Run) -> None:
    for size in (1_000, 100_000):
        status, said = run.run(f"print(len({'x' * size!r}))")
        assert (status, said) == (0, f"{size}\n")


def test_a_job_stops_and_continues_with_the_process_that_was_called(run: Run) -> None:
    job = run.start("table", WHO + SLEEP)
    pid = ready(job)
    job.send_signal(signal.SIGTSTP)
    within(5, lambda: state(pid) == state(job.pid) == "T")
    job.send_signal(signal.SIGCONT)
    within(5, lambda: state(pid) == state(job.pid) == "S")
    job.kill()
    job.communicate()


def state(pid: int) -> str:
    """T: stopped; S: sleeping."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def test_a_server_that_is_killed_takes_its_jobs_with_it(run: Run) -> None:
    job = run.start("table", WHO + SLEEP)
    pid = ready(job)
    first = run.server()
    os.kill(first, signal.SIGKILL)
    assert job.wait(10) == 128 + signal.SIGKILL
    within(2, lambda: gone(pid))
    job.communicate()
    assert run.server() != first


def test_a_server_never_runs_other_code_than_a_job_would_import(run: Run, package: Path) -> None:
    code = "from firstorder.publish import tables; print(tables.VALUE)"
    first = run.server()
    assert run.run(code) == (0, "1\n")
    tables = package / "publish/tables.py"
    tables.write_text(tables.read_text().replace("VALUE = 1", "VALUE = 2"))
    assert run.run(code) == (0, "2\n")
    assert run.server() != first


def test_a_server_remembers_no_digest_of_a_file_of_the_users(
    run: Run, package: Path, tmp_path: Path
) -> None:
    """A job imports the file as it is, and would take it for what it was."""
    plan = package / "jobs/plan.py"
    plan.write_text(
        "VARIABLE = 'PLAN'\ndef read(path):\n    return Plan\nclass Plan:\n"
        "    codes = {'firstorder.publish.tables:build mine.py:loss': ''}\n"
    )
    mine = tmp_path / "mine.py"
    mine.write_text("def loss(s):\n    return s\n")
    entries = "'firstorder.publish.tables:build', 'mine.py:loss'"
    digest = f"from firstorder.jobs import code; print(code.code({entries}))"
    before, server = run.run(digest), run.server()
    mine.write_text("def loss(s):\n    return 2 * s\n")
    after = run.run(digest)
    assert before[0] == after[0] == 0 and before[1] != after[1]
    assert run.server() == server


def test_a_source_that_changes_while_the_server_imports_it_is_imported_anew(
    run: Run, package: Path
) -> None:
    tables = package / "publish/tables.py"
    tables.write_text(tables.read_text().replace("0.2", "1"))
    job = run.start("table", "from firstorder.publish import tables; print(tables.VALUE)")
    time.sleep(0.5)
    tables.write_text(tables.read_text().replace("VALUE = 1", "VALUE = 2"))
    assert job.communicate(timeout=30)[0] == "2\n"


def test_a_server_ends_with_the_head_but_not_before_its_jobs(run: Run) -> None:
    server = run.server()
    job = run.start("table", WHO + "import sys; sys.stdin.read(); print('done')")
    ready(job)
    run.head.kill()
    within(
        10,
        lambda: str(run.sockets) not in sockets_that_listen(),
    )
    assert not gone(server)
    assert job.communicate(input="", timeout=10)[0] == "done\n"
    within(10, lambda: gone(server))


def sockets_that_listen() -> str:
    """The addresses of listening Unix sockets."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return "\n".join(line for line in lines if line.split()[3] == "00010000")


def test_a_server_of_which_nothing_is_asked_ends(run: Run, package: Path) -> None:
    zygote = package / "jobs/zygote.py"
    zygote.write_text(zygote.read_text().replace("IDLE_SECONDS = 60", "IDLE_SECONDS = 0.5"))
    server = run.server()
    within(10, lambda: gone(server))
    assert run.run(WHO)[0] == 0


def test_a_server_that_cannot_import_leaves_the_message_to_the_job(run: Run, package: Path) -> None:
    (package / "publish/tables.py").write_text("import nothing_of_this_name\n")
    status, _ = run.run("import firstorder.publish.tables")
    assert status == 1 and "nothing_of_this_name" in run.complaints


def test_switched_off_or_not_announced_a_job_starts_by_itself(run: Run) -> None:
    for announced in (OFF, f"{2**22 - 1}:/proc/nothing\ntable=firstorder.publish.tables"):
        run.environment[VARIABLE] = announced
        job = run.start("table", WHO)
        assert job.communicate(timeout=30)[0].split()[0] == str(os.getpid())
    run.environment[VARIABLE] = OFF
    announced = subprocess.run(
        [sys.executable, "-c", HEAD], env=run.environment, input="", capture_output=True, text=True
    )
    assert announced.stdout == f"{OFF!r}\n"


def test_the_process_that_waits_imports_nothing_of_what_the_job_needs(run: Run) -> None:
    run.server()
    ours = "sorted(name for name in sys.modules if name.startswith('firstorder'))"
    code = f"import atexit, sys; atexit.register(lambda: print(*{ours}))\n{CALL}"
    said = run._process(code, "table", "pass").communicate(timeout=30)[0]
    assert said.split() == ["firstorder", "firstorder.jobs", "firstorder.jobs.warm"]


def test_a_step_that_preloads_nothing_starts_by_itself(run: Run) -> None:
    job = run.start("figure", WHO)
    assert job.communicate(timeout=30)[0].split()[0] == str(os.getpid())


def test_a_job_from_a_warm_start_makes_the_files_of_one_from_a_cold_start(
    made_toy: Project,
) -> None:
    run = Run(made_toy.folder, SOURCE, OMP_NUM_THREADS="1")
    announced = run.environment[VARIABLE]
    table = made_toy.folder / "results/smoke/tables/toy-pixels.csv"
    found = {}
    try:
        for name in (OFF, announced):
            run.environment[VARIABLE] = name
            table.unlink()
            job = run.start("table", "toy", "pixels")
            complaints = job.communicate(timeout=120)[1]
            assert job.returncode == 0, complaints
            listening = str(run.sockets) in Path("/proc/net/unix").read_text()
            assert listening == (name != OFF)
            found[name] = made_toy.tree("results/smoke/tables")
            entry = files.read_json(made_toy.folder / "results/smoke/ledger/table/toy/pixels.json")
            assert 50e6 < entry["peak_memory_bytes"] < 4e9
    finally:
        run.close()
    assert found[OFF] == found[announced]
