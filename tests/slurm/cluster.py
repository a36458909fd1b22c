"""A SLURM cluster of one node on loopback, for tests: no systemd, no database, two pretend GPUs.

Everything lies in one folder: configuration (found through SLURM_CONF), authentication key and
socket, state and logs. Nothing below /etc is read or written, and `stop` ends every daemon.

    python tests/slurm/cluster.py FOLDER    start; prints the environment to use; stops on Enter
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = (
    "setpriv",
    "munged",
    "slurmctld",
    "slurmd",
    "sbatch",
    "srun",
    "squeue",
    "scontrol",
    "scancel",
    "sinfo",
)
ADMIN = "/usr/sbin:/sbin"

CONFIGURATION = """\
ClusterName=firstorder
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={controller}
SlurmdPort={daemon}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SchedulerType=sched/backfill
SchedulerParameters=defer_batch,sched_min_interval=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
# squeue must still know a finished job when the executor asks next
MinJobAge=86400
KillWait=10
ReturnToService=2
MpiDefault=none
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} Gres=gpu:toy:2 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=1-0 DefMemPerCPU=500 State=UP
PartitionName=gpu Nodes={host} MaxTime=1-0 DefMemPerCPU=500 State=UP
"""


def missing() -> str | None:
    """Why no cluster can be started here, or None."""
    if os.geteuid() != 0:
        return "starting SLURM daemons needs root"
    path = f"{os.environ.get('PATH', '')}:{ADMIN}"
    absent = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: slurm-wlm, munge)"
    return None


@dataclass
class Cluster:
    """A running cluster."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environment(self, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
        """What a user of the cluster has in the environment."""
        return {
            **inherited,
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder}/bin:{inherited['PATH']}:{ADMIN}",
        }

    def ask(self, *command: str) -> str:
        """The output of a SLURM command."""
        done = subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, timeout=30
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def start(self) -> None:
        """Bring the daemons up."""
        folder = self.folder
        for name in ("state", "spool", "gpu"):
            (folder / name).mkdir(parents=True)
        for index in range(2):  # GRES binds to device files; these are /dev/null
            os.mknod(folder / "gpu" / str(index), 0o666 | 0o020000, os.makedev(1, 3))
        key = folder / "munge.key"
        key.touch(mode=0o400)
        key.write_bytes(os.urandom(1024))
        host = socket.gethostname().split(".")[0]
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                host=host,
                folder=folder,
                controller=free_port(),
                daemon=free_port(),
                cores=os.cpu_count(),
                memory=memory_megabytes() * 9 // 10,
            )
        )
        (folder / "gres.conf").write_text(
            f"NodeName={host} Name=gpu Type=toy File={folder}/gpu/[0-1]\n"
        )
        # SLURM 22.05 refuses to start without a cgroup plugin that it can load
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        # The executor starts srun inside a job without SLURM_CONF; this srun knows it.
        real = shutil.which("srun", path=self.environment()["PATH"])
        srun = folder / "bin" / "srun"
        srun.parent.mkdir()
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {real} "$@"\n')
        srun.chmod(0o755)
        self.launch(
            "munged",
            *("--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"),
            *(f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log"),
            *(f"--seed-file={folder}/munged.seed", "--num-threads=2"),
        )
        self.wait("munge", "munge", "-n", "-S", f"{folder}/munge.socket")
        self.launch("slurmctld", "-D")
        self.wait("slurmctld", "scontrol", "ping")
        self.launch("slurmd", "-D")
        self.wait("slurmd", "sinfo", "-h", "-p", "cpu", "-t", "idle,alloc,mix", "-o", "%n")

    def launch(self, *command: str) -> None:
        """Start a daemon in the foreground of its own process group; it ends with this process."""
        with open(self.folder / f"{command[0]}.out", "wb") as output:
            self.processes.append(
                subprocess.Popen(
                    ("setpriv", "--pdeathsig", "TERM", *command),
                    env=self.environment(),
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )

    def wait(self, what: str, *command: str, seconds: float = 30) -> None:
        """Wait until a command succeeds and prints something."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(RuntimeError, subprocess.TimeoutExpired):
                if self.ask(*command).strip():
                    return
            time.sleep(0.2)
        logs = "".join(path.read_text()[-2000:] for path in self.folder.glob("*.out"))
        raise RuntimeError(f"{what} did not come up within {seconds:g} s\n{logs}")

    def stop(self) -> None:
        """End all jobs and daemons."""
        with suppress(RuntimeError, subprocess.TimeoutExpired):
            self.ask("scancel", "--user=root")
            end = time.monotonic() + 20
            while self.ask("squeue", "-h", "-t", "running,completing") and time.monotonic() < end:
                time.sleep(0.2)
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster in `folder` while the block runs."""
    made = Cluster(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def memory_megabytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


if __name__ == "__main__":
    with cluster(Path(sys.argv[1]).resolve()) as running:
        print(f"export SLURM_CONF={running.environment()['SLURM_CONF']}")
        print(running.ask("sinfo", "-o", "%P %a %D %T %c %m %G"))
        input("Enter stops the cluster ")
