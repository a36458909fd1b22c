"""The server of warm starts: it imports, computes nothing, has one thread, and forks jobs.

It knows a job by its connection with the process that was called and, from the request on, by
the process that it forked. Messages: a request (arguments, with descriptors 0, 1 and 2), then
signal numbers, one way; that the job started, then its exit status, the other way. The end of
the connection is a SIGKILL. A job must not outlive its server, which could no longer end it.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import select
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

from firstorder.errors import UserError
from firstorder.jobs.warm import KILLED, STARTED, is_ours, sources

IDLE_SECONDS = 60
PR_SET_PDEATHSIG = 1


def prepare(modules: str) -> None:
    """Import what the jobs of a server import, and digest the code whose digest they check.

    Not the files of a user: a job imports them as they are when it starts.
    """
    for module in modules.split(","):
        import_module(module)
    from firstorder.jobs import code, plan

    with suppress(UserError, OSError):  # without a plan, or a broken one, jobs say so themselves
        for entries in plan.read(os.environ.get(plan.VARIABLE, "")).codes:
            code.code(*(e for e in entries.split() if code.is_ours(e)))
    gc.collect()
    gc.freeze()  # so that collections in the jobs do not copy what is never freed


def run(job: Callable[[], None]) -> None:
    """Run `job` and end this forked process, without taking apart what it shares with others."""
    status = 0
    try:
        job()
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        status = end.code
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def serve(listener: socket.socket, lock: int, head: int, modules: str) -> bool:
    """Serve until the run's head ends or nothing is asked; True in a process that was forked.

    `lock` is the descriptor that nobody else may have while this server goes on.
    """
    before, path = sources(), listener.getsockname()
    _detach(listener.fileno(), lock)
    handle = os.pidfd_open(head)
    prepare(modules)
    if sources() == before and Server(listener, os.dup(handle)).run():
        os.close(lock)
        os.close(handle)
        return True
    with suppress(OSError):
        os.unlink(path)
    if not _lives(handle):  # nobody else removes what a killed head leaves
        shutil.rmtree(os.path.dirname(path), ignore_errors=True)
    return False


def _lives(head: int) -> bool:
    poll = select.poll()
    poll.register(head, select.POLLIN)
    return not poll.poll(0)


def _detach(*kept: int) -> None:
    """Leave the session and the files of the job that this process was forked from."""
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor not in kept:
            with suppress(OSError):  # the folder that was being listed
                os.close(descriptor)


class Job:
    """A connection, and from its request on the process forked for it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.pid, self.handle = 0, -1

    def descriptors(self) -> list[int]:
        """What to watch; -1 for what is not there."""
        return [self.handle, self.connection.fileno()]

    def receive(self) -> tuple[bytes, list[int]]:
        """A message and its descriptors; empty when the process that was called has ended."""
        try:
            return socket.recv_fds(self.connection, 2**16, 3)[:2]
        except OSError:
            return b"", []

    def answer(self, message: bytes) -> None:
        """Tell the process that was called, if it still exists."""
        with suppress(OSError):
            self.connection.send(message)

    def close(self) -> None:
        """Let go of both processes."""
        self.connection.close()
        if self.handle >= 0:
            os.close(self.handle)


class Server:
    """What is watched: the head of the run, who connects, and all jobs."""

    def __init__(self, listener: socket.socket, head: int) -> None:
        self.listener, self.head = listener, head
        self.jobs: list[Job] = []

    def run(self) -> bool:
        """Serve to the end; True in a forked process."""
        while self.head >= 0 or self.jobs:
            poll = select.poll()
            watched = [each for job in self.jobs for each in job.descriptors()]
            for descriptor in (*watched, self.head, self.listener.fileno()):
                if descriptor >= 0:
                    poll.register(descriptor, select.POLLIN)
            events = poll.poll(IDLE_SECONDS * 1000)
            if not events and not self.jobs:
                break
            # One event at a time: after it, a number may be another descriptor's.
            if events and self.react(events[0][0]):
                return True
        return False

    def react(self, descriptor: int) -> bool:
        """Do what is due; True in a forked process."""
        if descriptor == self.head:
            self.close()
        elif descriptor == self.listener.fileno():
            connection, _ = self.listener.accept()
            if is_ours(connection):
                self.jobs.append(Job(connection))
        else:
            job = next(job for job in self.jobs if descriptor in job.descriptors())
            if descriptor == job.handle:
                self.end(job)
            elif job.pid:
                self.pass_on(job)
            else:
                return self.fork(job)
        return False

    def fork(self, job: Job) -> bool:
        """Fork the process of a job; True in it, when it has become what was asked for."""
        server = os.getpid()
        request, given = job.receive()
        try:
            job.pid = os.fork() if len(given) == 3 else -1
        except OSError:  # no process is left: the one that was called runs the job
            job.pid = -1
        if job.pid == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != server:
                os._exit(KILLED)
            self.close()
            for each in self.jobs:
                each.close()
            for target, descriptor in enumerate(given):
                os.dup2(descriptor, target)
            sys.argv[1:] = map(os.fsdecode, request.split(b"\0"))
        elif job.pid < 0:
            job.close()
            self.jobs.remove(job)
        else:
            job.handle = os.pidfd_open(job.pid)
            job.answer(STARTED)
        for descriptor in given:
            os.close(descriptor)
        return job.pid == 0

    def pass_on(self, job: Job) -> None:
        """Pass a signal on to the process of a job."""
        number, _ = job.receive()
        if not number:
            job.connection.close()
        signal.pidfd_send_signal(job.handle, number[0] if number else signal.SIGKILL)

    def end(self, job: Job) -> None:
        """Report how the process of a job ended."""
        _, status = os.waitpid(job.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        job.answer(str(code if code >= 0 else 128 - code).encode())
        job.close()
        self.jobs.remove(job)

    def close(self) -> None:
        """Hear of no new jobs."""
        self.listener.close()
        if self.head >= 0:
            os.close(self.head)
        self.head = -1
