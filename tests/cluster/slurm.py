"""A stand-in for SLURM: runs the jobs of a script one after the other, sends their steps SIGTERM as `--signal` asks for, and
runs a job again if it asks for that. It sets the variables that SLURM sets, and knows the commands srun and scontrol. All nodes
are this machine."""
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

SRUN = """#!/usr/bin/env bash
while [[ $1 = --* ]]; do shift; done
tasks=()
trap 'kill -TERM "${tasks[@]}"' TERM
for ((task = 0; task < SLURM_NTASKS; task++)); do
  env SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS="$SLURM_NTASKS" SLURM_STEP_NODELIST=127.0.0.1 SLURM_PROCID=$task \\
    SLURM_LOCALID=$task "$@" &
  tasks+=($!)
done
echo $$ > "$SLURM_STAND_IN/step"
highest=0
for task in "${tasks[@]}"; do
  # A trap interrupts wait.
  while wait "$task"; status=$?; kill -0 "$task" 2>/dev/null; do :; done
  ((status > highest)) && highest=$status
done
exit "$highest"
"""
SCONTROL = """#!/usr/bin/env bash
[ "$1" = requeue ] || { echo "scontrol: knows requeue, not $1" >&2; exit 1; }
echo "$2" >> "$SLURM_STAND_IN/requeued"
"""


class Slurm:
    """`folder` gets the stand-in's files. `path` is the PATH of jobs, behind srun and scontrol."""

    def __init__(self, folder, path):
        self.folder = Path(folder)
        self.folder.mkdir()
        for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
            program = self.folder / name
            program.write_text(text)
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.variables = os.environ | {"PATH": f"{self.folder}:{path}", "SLURM_STAND_IN": str(self.folder)}

    def submit(self, script, options, limits, variables=None, directory=None):
        """Runs the job, or each job of the array, until it ends without asking to run again. The n-th start of a job gets
        SIGTERM after `limits[n]` seconds; later starts have no limit. Returns for each array index (0 without an array) its
        exit statuses."""
        asked = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", Path(script).read_text(), re.MULTILINE))
        assert asked["signal"].startswith("TERM@"), "steps are asked to stop before the limit, and not the shell"
        assert "requeue" in asked and asked["open-mode"] == "append"
        tasks = int(asked.get("nodes", 1)) * int(asked.get("ntasks-per-node", 1))
        variables = self.variables | (variables or {}) | {"SLURM_NTASKS": str(tasks)}
        if "array" not in asked:
            return {0: self._run_job(script, options, limits, 4000, variables, directory)}
        first, last = map(int, asked["array"].split("-"))
        statuses = {}
        for index in range(first, last + 1):
            of_array = {"SLURM_ARRAY_JOB_ID": "4000", "SLURM_ARRAY_TASK_ID": str(index)}
            statuses[index] = self._run_job(script, options, limits, 4000 + index, variables | of_array, directory)
        return statuses

    def _run_job(self, script, options, limits, number, variables, directory):
        job, statuses = str(number), []
        variables = variables | {"SLURM_JOB_ID": job, "SLURM_PROCID": "0", "SLURM_JOB_NODELIST": "node01", "SLURM_JOB_NAME": "job"}
        while True:
            for name in ("step", "requeued"):
                (self.folder / name).unlink(missing_ok=True)
            process = subprocess.Popen(
                ["bash", str(script), *options], env=variables | {"SLURM_RESTART_COUNT": str(len(statuses))}, cwd=directory,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if len(statuses) < len(limits):
                self._stop_step(process, limits[len(statuses)])
            said, _ = process.communicate(timeout=120)
            statuses.append(process.returncode)
            requeued = self.folder / "requeued"
            if not requeued.exists():
                if process.returncode:
                    sys.stderr.write(said)
                return statuses
            assert requeued.read_text().split() == [job]

    def _stop_step(self, process, limit):
        time.sleep(limit)
        step = self.folder / "step"
        if process.poll() is None and step.exists():
            os.kill(int(step.read_text()), signal.SIGTERM)
