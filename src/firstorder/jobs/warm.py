"""Warm starts: what the jobs of a run on this machine import, one process imports for all.

Importing torch takes seconds of the processor, as long as many a small training. So the head of
a local run announces a name, and the first job that needs such imports starts a server under it
(`firstorder.jobs.zygote`), which forks a process for every job. That process goes on in `main` as
if it had been started by itself: same arguments, files, folder, environment and limits, same exit.
Where anything is in the way, or with FIRSTORDER_WARM=off, a job starts by itself.

The sockets of a run's servers lie in a folder of its own that only this user may enter, and both
sides check who is at the other end. A lock beside a socket lets one server start, and goes with
its process. The name of a socket is a digest of all that a job inherits and of the source files: a
server never meets a job that differs from what it is itself, and one that holds old code is not
called again. The two processes of a job, the one that was called and waits and the forked one,
end and stop together, however one of them ends: otherwise a run that was killed could be started
again while its training goes on.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
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
LONGEST_REQUEST = 60_000
"""Bytes of all arguments; a longer message would be cut."""
PATIENCE = 5.0
"""Seconds until whoever does not answer is not waited for."""
INHERITED = ("Uid", "Gid", "Groups", "Umask", "SigBlk", "SigIgn", "Cap", "NoNew", "Seccomp", "Cpus")
"""What of /proc/self/status goes from a process to those that it starts."""


def announce(preloads: Mapping[str, Sequence[str]]) -> None:
    """Let the jobs that this process starts share servers, as long as this process lives.

    `preloads` says for each verb which modules its jobs import; verbs with the same ones share a
    server, those without start by themselves.
    """
    if os.environ.get(VARIABLE) == OFF or not hasattr(os, "pidfd_open"):
        return
    folder = tempfile.mkdtemp(prefix="firstorder-")  # which only this user may enter
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    table = (f"{verb}={','.join(modules)}" for verb, modules in preloads.items() if modules)
    os.environ[VARIABLE] = "\n".join((f"{os.getpid()}:{folder}", *table))


def main() -> None:
    """The console script `firstorder`."""
    announced, *table = os.environ.get(VARIABLE, OFF).split("\n")
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
    head, _, folder = announced.partition(":")
    request = b"\0".join(map(os.fsencode, sys.argv[1:]))
    if len(request) > LONGEST_REQUEST:
        return HERE
    with suppress(OSError):
        if not _is_private(folder):
            return HERE
        path = os.path.join(folder, _name(modules))
        for _ in range(100):
            connection = _connect(path)
            if connection is not None:
                with connection:
                    return _wait(connection, request) if is_ours(connection) else HERE
            if _start(path, int(head), modules):
                return FORKED
    return HERE


def _is_private(folder: str) -> bool:
    """Whether a folder is this user's, and closed to all others."""
    status = os.lstat(folder)
    return stat.S_ISDIR(status.st_mode) and (status.st_uid, status.st_mode & 0o77) == (
        os.getuid(),
        0,
    )


def _name(modules: str) -> str:
    """The file name of the socket of the server for a process like this one."""
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
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


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
    """Whether this user is at the other end, in the same namespaces: no other is served."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)  # pid, uid, gid
    pid, uid = (int.from_bytes(peer[at : at + 4], sys.byteorder) for at in (0, 4))
    if uid != os.getuid() or pid == 0:  # 0: of a namespace that cannot be seen from here
        return False
    try:
        return all(
            os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}")
            for kind in ("mnt", "pid", "user")
        )
    except OSError:  # it has ended, or hides
        return False


def _connect(path: str) -> socket.socket | None:
    """A connection with the server, if there is one."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(PATIENCE)
    try:
        connection.connect(path)
    except (ConnectionRefusedError, FileNotFoundError):
        connection.close()
        return None
    return connection


def _start(path: str, head: int, modules: str) -> bool:
    """Start a server, unless somebody else just does; True in a process that it forked."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        time.sleep(0.01)
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        with suppress(FileNotFoundError):
            os.unlink(path)  # of a server that is gone: its lock was free
        listener.bind(path)
        if os.fork() > 0:
            os.close(lock)  # it stays with the server
            return False
        try:
            # Here, since who connects is told which process listens; at once, since those who are
            # refused give up after a second. Who is connected waits until all is imported.
            listener.listen(128)
            from firstorder.jobs import zygote

            if zygote.serve(listener, lock, head, modules):
                return True
        except BaseException:
            os._exit(1)
        os._exit(0)


def _wait(connection: socket.socket, request: bytes) -> int:
    """Have the server run this job; its exit status, or HERE when it did not start."""
    connection.settimeout(None)
    arrived: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        with suppress(OSError):  # the server is gone, which is noticed below
            connection.send(bytes([number]))

    def stop(number: int, frame: FrameType | None) -> None:
        # The forked process is no child of the terminal's: it is stopped and continued from here.
        with suppress(OSError):
            connection.send(bytes([signal.SIGSTOP]))
            os.kill(os.getpid(), signal.SIGSTOP)
            connection.send(bytes([signal.SIGCONT]))

    wanted = {signal.SIGTERM: forward, signal.SIGINT: forward, signal.SIGTSTP: stop}
    held = [number for number in wanted if signal.getsignal(number) != signal.SIG_IGN]
    before = [signal.signal(number, wanted[number]) for number in held]
    answer = status = b""
    with suppress(OSError):
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
