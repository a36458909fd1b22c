"""A SLURM cluster of one node on loopback, for tests: no systemd, no database, two pretend GPUs.

Everything lies in one folder: configuration, authentication key and socket, state, logs, and
`bin` with the client commands that know all this. Nothing below /etc is read or written. `stop`
ends every daemon and every job.

Memory is enforced by polling: every second slurmd adds up what the processes of a job hold and
kills the job when that is more than it asked for (JobAcctGather). Control groups are not used, so
that an unprivileged container will do; clusters that use them kill at once.

    python tests/slurm/cluster.py FOLDER    start; prints the path to use; stops on Enter
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "srun", "squeue", "sacct", "scontrol", "scancel", "sinfo")
PROGRAMS = ("setpriv", *DAEMONS, *CLIENTS)
ADMIN = "/usr/sbin:/sbin"
REFUSED = re.compile(r"permission denied|operation not permitted|read-only file|cgroup", re.I)
"""What a daemon prints where it may not do its work."""

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
# by process group: control groups may be missing, and parenthood ends with the parent
ProctrackType=proctrack/pgid
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
MailProg=/bin/true
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


class UnavailableError(Exception):
    """This machine does not let a cluster start; the text says why."""


@dataclass
class Cluster:
    """A running cluster."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environment(self, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
        """What a user of the cluster has in the environment: nothing but its commands."""
        kept = {
            name: value
            for name, value in inherited.items()
            if not name.startswith(("SLURM", "SBATCH_", "SRUN_", "SQUEUE_", "MUNGE_"))
        }
        return {**kept, "PATH": f"{self.folder}/bin:{inherited['PATH']}:{ADMIN}"}

    def ask(self, *command: str) -> str:
        """The output of a SLURM command."""
        done = subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, timeout=30
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def start(self) -> None:
        """Bring the daemons up; raises UnavailableError where the machine forbids it."""
        folder = self.folder
        for name in ("state", "spool", "gpu", "bin"):
            (folder / name).mkdir(parents=True)
        for index in range(2):  # a device file for each GPU, to which SLURM binds it
            (folder / "gpu" / str(index)).symlink_to("/dev/null")
        key = folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        host = socket.gethostname().split(".")[0]
        controller, daemon = free_ports(2)
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                host=host,
                folder=folder,
                controller=controller,
                daemon=daemon,
                cores=os.cpu_count(),
                memory=memory_megabytes() * 9 // 10,
            )
        )
        (folder / "gres.conf").write_text(
            f"NodeName={host} Name=gpu Type=toy File={folder}/gpu/[0-1]\n"
        )
        path = self.environment()["PATH"]
        (folder / "cgroup.conf").write_text(f"CgroupPlugin={cgroup_plugin(path)}\n")
        # Snakemake removes SLURM_CONF within a job; these commands find the cluster without.
        for name in CLIENTS:
            real, client = shutil.which(name, path=path), folder / "bin" / name
            conf = shlex.quote(f"{folder}/slurm.conf")
            client.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {real} "$@"\n')
            client.chmod(0o755)
        self.launch(
            "munged",
            *("--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"),
            *(f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log"),
            *(f"--seed-file={folder}/munged.seed", "--num-threads=2"),
        )
        self.wait("munge", "-n", "-S", f"{folder}/munge.socket")
        self.launch("slurmctld", "-D")
        self.wait("scontrol", "ping")
        self.launch("slurmd", "-D")
        self.wait("sinfo", "-h", "-p", "cpu", "-t", "idle,alloc,mix", "-o", "%n")

    def launch(self, name: str, *arguments: str) -> None:
        """Start a daemon in the foreground of its own process group; it ends with this process."""
        with open(self.folder / f"{name}.out", "wb") as output:
            self.processes.append(
                subprocess.Popen(
                    ("setpriv", "--pdeathsig", "TERM", name, *arguments),
                    env={**self.environment(), "SLURM_CONF": f"{self.folder}/slurm.conf"},
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )

    def wait(self, *command: str, seconds: float = 30) -> None:
        """Wait until the newest daemon is there: a command succeeds and prints something."""
        daemon = DAEMONS[len(self.processes) - 1]
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.processes[-1].poll() is None:
            with suppress(RuntimeError, subprocess.TimeoutExpired):
                if self.ask(*command).strip():
                    return
            time.sleep(0.2)
        said = (self.folder / f"{daemon}.out").read_text()
        for line in reversed(said.splitlines()):
            if REFUSED.search(line):
                raise UnavailableError(f"{daemon} does not start here: {line.strip()}")
        raise RuntimeError(f"{daemon} did not come up within {seconds:g} s\n{said[-2000:]}")

    def stop(self) -> None:
        """End all jobs and daemons."""
        if len(self.processes) == len(DAEMONS):
            with suppress(RuntimeError, subprocess.TimeoutExpired):
                self.ask("scancel", "--user=root")
                end = time.monotonic() + 20
                while self.running() and time.monotonic() < end:
                    time.sleep(0.2)
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for pid in self.processes_of_jobs():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def running(self) -> str:
        """The jobs that SLURM has not ended."""
        return self.ask("squeue", "-h", "-t", "running,completing")

    def processes_of_jobs(self) -> list[int]:
        """Processes of this cluster's jobs, and those of SLURM that watch them."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                name, variables = (entry / "comm").read_text(), (entry / "environ").read_bytes()
                ours = f"{self.folder}/".encode() in variables
                if ours and (name.startswith("slurmstepd") or b"\0SLURM_JOB_ID=" in variables):
                    found.append(int(entry.name))
        return found


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster in `folder` while the block runs."""
    made = Cluster(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def cgroup_plugin(path: str) -> str:
    """The control groups' plugin: SLURM loads one although nothing here uses it."""
    slurmd = shutil.which("slurmd", path=path) or "slurmd"
    version = subprocess.run((slurmd, "-V"), capture_output=True, text=True).stdout
    found = re.search(r"(\d+)\.(\d+)", version)
    # 22.05 knows no `disabled`; later versions do, and then start without control groups.
    old = found is not None and (int(found[1]), int(found[2])) < (23, 11)
    return "cgroup/v1" if old else "disabled"


def free_ports(count: int) -> list[int]:
    """TCP ports on loopback that nobody listens on."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def memory_megabytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


if __name__ == "__main__":
    with cluster(Path(sys.argv[1]).resolve()) as running:
        print(f'export PATH="{running.folder}/bin:$PATH"')
        print(running.ask("sinfo", "-o", "%P %a %D %T %c %m %G"))
        input("Enter stops the cluster ")
