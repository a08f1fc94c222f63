"""The scripts of scripts/cluster run: SLURM's through a stand-in, those of Optuna, GNU parallel and mpirun for real.

DVS_PREP and DVS_TRAIN name the programs.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from slurm import Slurm

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts" / "cluster"
SMALL = "--device cpu --channels 6 -b 4 --lr 0.01 --v-threshold 0.4".split()


class Scripts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="dvs-cluster-"))
        programs = cls.folder / "bin"
        programs.mkdir()
        for name in ("DVS_PREP", "DVS_TRAIN"):
            program = programs / name.lower().replace("_", "-")
            program.symlink_to(Path(os.environ[name]).resolve())
        cls.path = f"{programs}:{os.environ['PATH']}"
        cls.cache = str(cls.folder / "cache.h5")
        archive = ROOT / "tests" / "data" / "DvsGesture-mini.tar.gz"
        subprocess.run([programs / "dvs-prep", "-T", "2", "-i", archive, "-o", cls.cache], check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def place(self, name):
        place = self.folder / name
        place.mkdir()
        return place

    def run_script(self, command, place, **variables):
        done = subprocess.run(command, cwd=place, env=os.environ | {"PATH": self.path} | variables, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def runs(self, logs):
        """The summary and the last checkpoint of each run, by the seed."""
        found = {}
        for folder in sorted(Path(logs).iterdir()):
            seed = json.loads((folder / "settings.json").read_text())["config"]["seed"]
            found[seed] = (json.loads((folder / "summary.json").read_text()),
                           (folder / "checkpoint_latest.safetensors").read_bytes())
        return found

    def test_array_of_seeds_goes_on_after_time_limits(self):
        place = self.place("seeds")
        options = [*SMALL, "--cache", self.cache, "--epochs", "30", "--out-dir", "logs"]
        statuses = Slurm(place / "slurm", self.path).submit(
            SCRIPTS / "seeds.sbatch", options, limits=[0.4, 0.7], directory=place)
        self.assertEqual(list(statuses), [0, 1, 2, 3, 4])
        stopped = 0
        for of_job in statuses.values():
            self.assertEqual(of_job[-1], 0)
            self.assertLessEqual(set(of_job[:-1]), {143})
            stopped += len(of_job) - 1
        self.assertGreaterEqual(stopped, 5, "SIGTERM came too late to stop runs")
        whole = [*options[:-1], "whole", "--resume", "auto"]
        for seed in range(5):
            self.run_script(["dvs-train", *whole, "--seed", str(seed)], place)
        self.assertEqual(self.runs(place / "logs"), self.runs(place / "whole"))

    def test_ranks_go_on_after_time_limits(self):
        place = self.place("ranks")
        options = [*SMALL, "--cache", self.cache, "--epochs", "60", "--out-dir", "logs"]
        slurm = Slurm(place / "slurm", self.path)
        statuses = slurm.submit(SCRIPTS / "ranks.sbatch", options, limits=[1.0, 1.5], directory=place)[0]
        self.assertEqual(statuses[-1], 0)
        self.assertEqual(set(statuses[:-1]), {143}, "SIGTERM came too late to stop the ranks")
        self.assertEqual(list(place.glob("*.failures")), [])
        whole = [*options[:-1], "whole"]
        self.assertEqual(slurm.submit(SCRIPTS / "ranks.sbatch", whole, limits=[], directory=place), {0: [0]})
        self.assertEqual(self.runs(place / "logs"), self.runs(place / "whole"))

    def test_ranks_that_fail_are_tried_again_but_not_for_ever(self):
        place = self.place("failing ranks")
        program = place / "dvs-train"
        # One rank is killed, and the others say so.
        program.write_text('#!/bin/sh\n[ "$SLURM_PROCID" = 2 ] && kill -9 $$\nexit 1\n')
        program.chmod(0o755)
        statuses = Slurm(place / "slurm", f"{place}:{self.path}").submit(
            SCRIPTS / "ranks.sbatch", [], limits=[], variables={"RETRY_AFTER": "0"}, directory=place)
        self.assertEqual(statuses, {0: [137] * 4})

    def test_mpirun_starts_ranks(self):
        place = self.place("mpirun")
        tools = ROOT / ".tools" / "mpi"
        self.assertTrue((tools / "bin" / "mpirun").exists(), "scripts/setup --mpi installs Open MPI")
        variables = {"PATH": f"{tools}/bin:{self.path}", "LD_LIBRARY_PATH": str(tools / "lib"),
                     "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        train = ["dvs-train", *SMALL, "--cache", self.cache, "--epochs", "1"]
        done = subprocess.run(["mpirun", "--oversubscribe", "-n", "2", *train], cwd=place, env=os.environ | variables,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("ranks: 2, with 2 samples of each batch"), 1, done.stdout)
        self.assertEqual(done.stdout.count("best: epoch=0"), 1)

    def test_job_waits_for_another_in_the_same_folder(self):
        place = self.place("busy")
        options = [*SMALL, "--cache", self.cache, "--epochs", "3", "--out-dir", "logs"]
        # The first job finds the folder of its run locked by an earlier job, which then ends.
        fake = place / "bin"
        fake.mkdir()
        program = fake / "dvs-train"
        program.write_text(f"#!/bin/sh\n[ -e '{place}/ended' ] || {{ touch '{place}/ended'; exit 75; }}\nexec '{Path(os.environ['DVS_TRAIN']).resolve()}' \"$@\"\n")
        program.chmod(0o755)
        statuses = Slurm(place / "slurm", f"{fake}:{self.path}").submit(
            SCRIPTS / "seeds.sbatch", options, limits=[], variables={"RETRY_AFTER": "0"}, directory=place)
        self.assertEqual(statuses, {0: [75, 0], 1: [0], 2: [0], 3: [0], 4: [0]})

    def test_study_completes_and_prunes_trials(self):
        import optuna

        place = self.place("study")
        options = [*SMALL[:-4], "--v-threshold", "0.4", "--cache", self.cache, "--epochs", "8"]
        said = self.run_script([sys.executable, SCRIPTS / "study.py", "8", *options], place)
        self.assertRegex(said, r"best: 0\.\d+ with \{'lr': ")
        study = optuna.load_study(study_name="dvs", storage=f"sqlite:///{place}/study.db")
        states = [trial.state.name for trial in study.trials]
        self.assertEqual(len(states), 8)
        self.assertLessEqual(set(states), {"COMPLETE", "PRUNED"})
        self.assertGreaterEqual(states.count("COMPLETE"), 3)
        for trial in study.trials:
            (folder,) = (place / "study" / str(trial.number)).iterdir()
            self.assertEqual((folder / "summary.json").exists(), trial.state.name == "COMPLETE")
            if trial.state.name == "COMPLETE":
                self.assertEqual(trial.value, json.loads((folder / "summary.json").read_text())["chosen_with"])

    def test_study_ends_with_the_first_trial_that_fails(self):
        place = self.place("failing")
        done = subprocess.run([sys.executable, SCRIPTS / "study.py", "3", "--no-such-option"], cwd=place, capture_output=True,
                              env=os.environ | {"PATH": self.path}, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("trial 0 failed: dvs-train --no-such-option", done.stderr)

    def test_stopped_study_stops_its_run(self):
        place = self.place("stopped study")
        options = [*SMALL, "--cache", self.cache, "--epochs", "100000"]
        study = subprocess.Popen([sys.executable, SCRIPTS / "study.py", "3", *options], cwd=place, stderr=subprocess.PIPE,
                                 env=os.environ | {"PATH": self.path}, text=True)
        deadline = time.monotonic() + 60
        while not list(place.glob("study/0/*/checkpoint_latest.safetensors")):
            self.assertLess(time.monotonic(), deadline, "no checkpoint")
            time.sleep(0.05)
        study.terminate()
        _, said = study.communicate(timeout=60)
        self.assertEqual(study.returncode, 143)
        self.assertIn("dvs-train: SIGTERM: stopped ", said)

    def test_sweep_needs_no_options_and_checks_gpus(self):
        place = self.place("no options")
        done = subprocess.run([SCRIPTS / "sweep"], cwd=place, capture_output=True, text=True,
                              env=os.environ | {"PATH": self.path, "RATES": "0.01", "SEEDS": "0"})
        self.assertEqual(done.returncode, 1, "the one run fails")
        self.assertIn("the data directory DVS128Gesture does not exist", done.stdout + done.stderr)
        done = subprocess.run([SCRIPTS / "sweep"], cwd=place, capture_output=True, text=True, env=os.environ | {"GPUS": "x"})
        self.assertEqual((done.returncode, "GPUS=x is not a number" in done.stderr), (2, True))

    def test_sweep_goes_on_where_it_stopped(self):
        place = self.place("sweep")
        options = [*SMALL, "--cache", self.cache, "--epochs", "2", "--out-dir", "runs here"]
        command = [SCRIPTS / "sweep", *options]
        self.run_script(command, place, RATES="0.01 0.02", SEEDS="0 1")
        runs = sorted((place / "runs here").iterdir())
        self.assertEqual(len(runs), 4)
        latest = runs[0] / "checkpoint_latest.safetensors"
        before = latest.stat().st_mtime_ns
        said = self.run_script(command, place, RATES="0.01 0.02", SEEDS="0 1", GPUS="2")
        self.assertEqual(len(re.findall("nothing is left to do", said)), 4)
        self.assertEqual(latest.stat().st_mtime_ns, before)


if __name__ == "__main__":
    unittest.main()
