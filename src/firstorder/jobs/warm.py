"""Warm starts: what the jobs of a run on this machine import, one process imports for all.

Importing torch takes seconds of the processor, as long as many a small training. So the head of
a local run announces a name, and the first job that needs such imports starts a server under it
(`firstorder.jobs.zygote`), which forks a process for every job. That process goes on in `main` as
if it had been started by itself: same arguments, files, folder, environment and limits, same exit.
Where anything is in the way, or with FIRSTORDER_WARM=off, a job starts by itself.

The name is an abstract Unix socket: binding it is the lock that lets one server start, and the
system takes it back with its process, so nothing is ever left behind. It contains a digest of all
that a job inherits and of the source files: a server never meets a job that differs from what it
is itself, and one that holds old code is not called again. The two processes of a job, the one
that was called and waits and the forked one, end together, however one of them ends: otherwise a
run that was killed could be started again while its training goes on.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType

VARIABLE = "FIRSTORDER_WARM"
OFF = "off"
HERE, FORKED = -1, -2
"""Instead of an exit status: this process is to run the job, as it is or as a forked one."""
STARTED = b"started"
KILLED = 128 + signal.SIGKILL
INHERITED = ("Uid", "Gid", "Groups", "Umask", "SigBlk", "SigIgn", "Cap", "NoNew", "Seccomp", "Cpus")
"""What of /proc/self/status goes from a process to those that it starts."""


def announce(preloads: Mapping[str, Sequence[str]]) -> None:
    """Let the jobs that this process starts share servers, as long as this process lives.

    `preloads` says for each verb which modules its jobs import; verbs with the same ones share a
    server, those without start by themselves.
    """
    if os.environ.get(VARIABLE) != OFF and hasattr(os, "pidfd_open"):
        table = (f"{verb}={','.join(modules)}" for verb, modules in preloads.items() if modules)
        os.environ[VARIABLE] = " ".join((f"{os.getpid()}-{os.urandom(8).hex()}", *table))


def main() -> None:
    """The console script `firstorder`."""
    announced, *table = os.environ.get(VARIABLE, OFF).split(" ")
    modules = dict(each.split("=", 1) for each in table if "=" in each)
    status = HERE
    if len(sys.argv) > 1 and sys.argv[1] in modules:
        status = _elsewhere(announced, modules[sys.argv[1]])
    if status >= 0:
        sys.exit(status)
    try:
        from firstorder import cli
    except ModuleNotFoundError as error:
        sys.exit(f"firstorder: {error.name} is not installed: pip install 'firstorder[workflow]'")
    if status == FORKED:
        from firstorder.jobs import zygote

        zygote.run(cli.main)
    cli.main()


def _elsewhere(announced: str, modules: str) -> int:
    """The exit status of the job that a server ran; else HERE or, in such a process, FORKED."""
    with suppress(OSError):
        name = _name(announced, modules)
        for _ in range(100):
            connection = _connect(name)
            if connection is not None:
                with connection:
                    return _wait(connection) if is_ours(connection) else HERE
            if _start(name, announced, modules):
                return FORKED
    return HERE


def _name(announced: str, modules: str) -> str:
    """The abstract address of the server for a process like this one."""
    import hashlib

    with open("/proc/self/status") as status:
        inherited = [line for line in status if line.startswith(INHERITED)]
    for file in ("limits", "cgroup", "oom_score_adj"):
        with open(f"/proc/self/{file}") as lines:
            inherited.append(lines.read())
    here = os.stat(".")
    facts = (
        *(modules, sorted(os.environb.items()), os.nice(0), inherited, sources()),
        *(here.st_dev, here.st_ino, os.readlink("/proc/self/ns/mnt")),
        *(sys.executable, sys.version, sys.flags, sys.warnoptions, sys.path, sys.argv[0]),
    )
    return f"\0firstorder-{announced}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


def sources() -> list[tuple[str, int, int]]:
    """Name, time and size of this package's files and of the folders of installed packages."""
    paths = [folder for folder in sys.path if os.path.exists(folder)]
    for folder, folders, names in os.walk(
        os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    ):
        folders[:] = sorted(each for each in folders if each != "__pycache__")
        paths += [os.path.join(folder, name) for name in sorted(names)]
    stated = [(path, os.stat(path)) for path in paths]
    return [(path, status.st_mtime_ns, status.st_size) for path, status in stated]


def is_ours(connection: socket.socket) -> bool:
    """Whether this user is at the other end: no other one is served or believed."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)  # pid, uid, gid
    return int.from_bytes(peer[4:8], sys.byteorder) == os.getuid()


def _connect(name: str) -> socket.socket | None:
    """A connection with the server, if there is one."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(name)
    except ConnectionRefusedError:
        connection.close()
        return None
    return connection


def _start(name: str, announced: str, modules: str) -> bool:
    """Start a server, unless somebody else just does; True in a process that it forked."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        try:
            listener.bind(name)
        except OSError:
            time.sleep(0.01)
            return False
        listener.listen(128)  # who connects from now on waits until everything is imported
        if os.fork() > 0:
            return False
        try:
            from firstorder.jobs import zygote

            if zygote.serve(listener, int(announced.partition("-")[0]), modules):
                return True
        except BaseException:
            os._exit(1)
        os._exit(0)


def _wait(connection: socket.socket) -> int:
    """Have the server run this job; its exit status, or HERE when it did not start."""
    arrived: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        with suppress(OSError):  # the server is gone, which is noticed below
            connection.send(bytes([number]))

    held = [n for n in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(n) != signal.SIG_IGN]
    before = [signal.signal(number, forward) for number in held]
    answer = status = b""
    with suppress(OSError):
        request = b"\0".join(map(os.fsencode, sys.argv[1:]))
        socket.send_fds(connection, [request], [0, 1, 2])
        answer = connection.recv(16)
        status = connection.recv(16)
    if answer == STARTED:
        return int(status or KILLED)  # a server that is killed takes its jobs with it
    for number, handler in zip(held, before, strict=True):
        signal.signal(number, handler)
    for each in arrived:
        signal.raise_signal(each)
    return HERE
