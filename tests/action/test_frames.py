"""The action .github/actions/frames, step by step as action.yml has them, with the dvs-prep that $DVS_PREP names.

    DVS_PREP=target/debug/dvs-prep python -m unittest discover tests/action
"""

import base64
import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
import unittest
import zipfile
from pathlib import Path

from made_up_runner import Runner, Store, load

ROOT = Path(__file__).resolve().parents[2]
ACTION = ROOT / ".github/actions/frames"
ARCHIVE = ROOT / "tests/data/DvsGesture-mini.tar.gz"
PROGRAM = Path(os.environ["DVS_PREP"]).resolve()
OPTIONS = "--frames 4 --split number"
INSTALL = "Install dvs-prep"


def make_wheel(folder):
    """A wheel with the program, as PyPI would have it."""
    said = subprocess.run([PROGRAM, "--version"], check=True, capture_output=True, text=True).stdout
    version = said.split()[1]
    name = f"dvs_prep-{version}"
    path = folder / f"{name}-py3-none-any.whl"
    files = {
        f"{name}.data/scripts/dvs-prep": PROGRAM.read_bytes(),
        f"{name}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: dvs-prep\nVersion: {version}\n".encode(),
        f"{name}.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-any\n",
    }
    record = f"{name}.dist-info/RECORD"
    rows = [f"{file},sha256={digest(content)},{len(content)}" for file, content in files.items()]
    files[record] = "\n".join([*rows, f"{record},,", ""]).encode()
    with zipfile.ZipFile(path, "w") as wheel:
        for file, content in files.items():
            info = zipfile.ZipInfo(file)
            # pip lets a program run only if it is allowed to in the wheel.
            info.external_attr = (stat.S_IFREG | 0o755) << 16
            wheel.writestr(info, content)
    return path, version


def digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


class Frames(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        cls.wheel, cls.version = make_wheel(cls.shared)
        # Later runs start with what this one installed: a Python environment takes seconds.
        cls.installed = Runner(cls.shared / "installed", Store(cls.shared))
        run = cls.installed.run(ACTION, {"version": str(cls.wheel), "data": "nothing"})
        assert run.failed == "Ask for the key", run.said()

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "store").mkdir()
        self.store = Store(self.folder / "store")
        self.machines = 0

    def machine(self, data="data/DvsGesture.tar.gz"):
        """A new runner, with the archive in its workspace."""
        self.machines += 1
        runner = Runner(self.folder / str(self.machines), self.store)
        (runner.temp / "dvs-prep").symlink_to(self.installed.temp / "dvs-prep")
        target = runner.workspace / data
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ARCHIVE, target)
        return runner

    def run_on(self, runner, run_id="1", **inputs):
        return runner.run(ACTION, {"data": "data", "options": OPTIONS, **inputs}, skip=[INSTALL], run_id=run_id)

    def whole(self, run):
        """The bytes of the cache that the run gave, which must be whole."""
        self.assertIsNone(run.failed, run.said())
        subprocess.run([PROGRAM, "verify", run.outputs["cache"]], check=True, capture_output=True)
        return Path(run.outputs["cache"]).read_bytes()

    def test_first_run_makes_and_stores_and_second_restores(self):
        runner = self.machine()
        first = self.run_on(runner)
        made = self.whole(first)
        self.assertEqual(first.outputs["hit"], "false")
        self.assertEqual(Path(first.outputs["cache"]), runner.workspace / "data/frames_number_4_split_by_number.h5")
        self.assertEqual(self.store.keys(), [first.outputs["key"]])
        self.assertEqual(self.store.entries[0][1], "data/frames_number_4_split_by_number.h5")
        self.assertIsNone(first.steps["Check what was restored"])

        second = self.run_on(self.machine(), run_id="2")
        self.assertEqual(self.whole(second), made)
        self.assertEqual((second.outputs["hit"], second.outputs["key"]), ("true", first.outputs["key"]))
        self.assertIn("already there", second.steps["Prepare"])
        self.assertEqual([second.steps["Verify"], second.steps["Save"]], [None, None])
        self.assertEqual(len(self.store.entries), 1)

    def test_other_options_have_another_key(self):
        first = self.run_on(self.machine())
        other = self.run_on(self.machine(), options="--frames 8 --split number")
        same_file = self.run_on(self.machine(), options=OPTIONS + " --keep-invalid")
        self.assertEqual([run.outputs["hit"] for run in (first, other, same_file)], ["false"] * 3)
        self.assertEqual(self.store.keys(), [run.outputs["key"] for run in (first, other, same_file)])
        self.assertEqual(len(set(self.store.keys())), 3)

    def test_damaged_caches_are_found_and_replaced(self):
        made = self.whole(self.run_on(self.machine()))
        key, = self.store.keys()
        quarter = len(made) // 4
        flipped = made[:quarter] + bytes(byte ^ 1 for byte in made[quarter : 2 * quarter]) + made[2 * quarter :]
        for number, damaged in enumerate([flipped, made[:1000], b"", b"not a cache"], start=2):
            stored = self.store.keys()[-1]
            self.store.file(stored).write_bytes(damaged)
            mended = self.run_on(self.machine(), run_id=str(number))
            self.assertEqual(self.whole(mended), made)
            self.assertEqual((mended.outputs["hit"], mended.outputs["key"]), ("false", key))
            warning = f"::warning::The cache that is stored as {stored} is damaged"
            self.assertIn(warning, mended.steps["Check what was restored"])
            self.assertEqual(self.store.keys()[-1], f"{key}-mended-{number}-1")
            after = self.run_on(self.machine(), run_id=f"{number}0")
            self.assertEqual((self.whole(after), after.outputs["hit"]), (made, "true"))
        self.assertEqual(len(self.store.entries), 5)

    def test_misuse_ends_with_the_message_of_dvs_prep(self):
        for options, message in [
            ("--frames none", "invalid value 'none' for '--frames <T>'"),
            ("--frmes 4", "unexpected argument '--frmes'"),
            ("--split duration", "--duration"),
            ("--output a.h5 --output b.h5", "cannot be used multiple times"),
            ("--classes 'it", "a quote in options is not closed"),
        ]:
            run = self.run_on(self.machine(), options=options)
            self.assertEqual(run.failed, "Ask for the key", run.said())
            self.assertIn(message, run.said())
        run = self.run_on(self.machine(), data="elsewhere")
        self.assertEqual(run.failed, "Ask for the key")
        self.assertIn("elsewhere", run.said())
        self.assertEqual(self.store.entries, [])

    def test_options_are_words_and_never_commands(self):
        runner = self.machine(data="my $(touch run) data/DvsGesture.tar.gz")
        (runner.workspace / "my classes.csv").write_text("".join(f"class {i},{i}\n" for i in range(1, 12)))
        inputs = {"data": "my $(touch run) data", "output": "a cache; touch run.h5"}
        run = self.run_on(runner, options="--frames 4\n  --classes 'my classes.csv'\n", **inputs)
        self.whole(run)
        self.assertEqual(self.store.entries[0][1], "a cache; touch run.h5")
        for options in ["$(touch run)", "`touch run`", "--frames 4; touch run", "--frames 4 && touch run", "*"]:
            run = self.run_on(runner, options=options, **inputs)
            self.assertEqual(run.failed, "Ask for the key", options)
            self.assertIn("unexpected argument", run.said())
        self.assertEqual(list(runner.workspace.rglob("run")), [])

    def test_output_names_the_file(self):
        runner = self.machine()
        (self.folder / "out").mkdir()
        for output, stored in [
            (str(self.folder / "out/x.h5"), str(self.folder / "out/x.h5")),
            ("../y.h5", str(runner.folder / "y.h5")),
            ("./data/../z.h5", "z.h5"),
        ]:
            run = self.run_on(runner, output=output, options=f"{OPTIONS} --skip-damaged")
            self.whole(run)
            self.assertEqual(Path(run.outputs["cache"]), (runner.workspace / output).resolve())
            self.assertEqual(self.store.entries[-1][1], stored)
        for output in ["data/[1].h5", "all*.h5", "!x.h5", "x.h5 ", "a\nhit=true"]:
            run = self.run_on(runner, output=output)
            self.assertEqual(run.failed, "Ask for the key", output)
            self.assertIn("for a pattern; choose another output", run.said())
            self.assertEqual(run.outputs["hit"], "false")

    def test_a_cache_that_is_there_stays(self):
        runner = self.machine()
        made = self.whole(self.run_on(runner))
        again = self.run_on(runner)
        self.assertEqual((self.whole(again), again.outputs["hit"]), (made, "false"))
        self.assertEqual([again.steps["Restore"], again.steps["Save"]], [None, None])
        other = self.run_on(runner, options=OPTIONS + " --keep-invalid")
        self.assertEqual(other.failed, "Prepare")
        self.assertIn("different contents", other.said())
        cache = Path(again.outputs["cache"])
        self.assertEqual(cache.read_bytes(), made)
        cache.write_bytes(made[:-1000] + bytes(1000))
        damaged = self.run_on(runner)
        self.assertIn(damaged.failed, ["Prepare", "Verify"])
        self.assertEqual(cache.read_bytes(), made[:-1000] + bytes(1000))
        self.assertEqual(len(self.store.entries), 1)

    def test_versions(self):
        runner = Runner(self.folder / "fresh", self.store)
        index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.shared)}
        shutil.copyfile(self.wheel, runner.workspace / self.wheel.name)
        for version, installed in [
            ("", True),
            (f"=={self.version}", True),
            (self.version, True),
            (">=0.0.1,<99", True),
            (self.wheel.name, True),
            ("==99", False),
            ("numpy", False),
            ("-h", False),
            (f"{self.version} numpy", False),
        ]:
            run = runner.run(ACTION, {"version": version, "data": "nothing"}, env=index)
            self.assertEqual(run.failed, "Ask for the key" if installed else INSTALL, f"{version}: {run.said()}")
        self.assertEqual([path.name for path in runner.temp.iterdir()], ["dvs-prep"])

    def test_the_readme_shows_what_works(self):
        readme = (ROOT / "dvs-prep/README.md").read_text()
        described = load(ACTION / "action.yml")
        example, = re.findall(r"  uses: OWNER/dvs/.github/actions/frames@.*?```", readme, re.S)
        self.assertLessEqual(set(re.findall(r"^    (\w+):", example, re.M)), set(described["inputs"]) | {"CACHE"})
        self.assertLessEqual(set(re.findall(r"steps\.frames\.outputs\.(\w+)", example)), set(described["outputs"]))
        for name in [*described["inputs"], *described["outputs"]]:
            self.assertIn(f"\n| `{name}` |", readme)

        lines, = re.findall(r"```bash\n(cache=.*?)```", readme, re.S)
        store = self.folder / "by key"
        store.mkdir()
        functions = f"""
            dvs-prep() {{ '{PROGRAM}' "$@"; }}
            restore() {{ cp '{store}'/"$1" "$2"; }}
            store() {{ cp "$2" '{store}'/"$1"; }}
            set -e
        """
        made = None
        for damage in [False, False, True, False]:
            if damage:
                stored.write_bytes(made[:1000])
            data = self.machine().workspace / "data"
            env = {**os.environ, "DVS_DATA": data}
            done = subprocess.run(["bash", "-c", functions + lines], env=env, capture_output=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(b"already there" in done.stdout, made is not None and not damage)
            stored, = store.iterdir()
            made = made or stored.read_bytes()
            self.assertEqual(stored.read_bytes(), made)


class Release(unittest.TestCase):
    """The shell steps of the release."""

    jobs = load(ROOT / ".github/workflows/release.yml")["jobs"]

    def step(self, job, name, folder, **env):
        step, = [step for step in self.jobs[job]["steps"] if step.get("name") == name]
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=Path(folder) / step.get("working-directory", ""), env={**os.environ, **env},
            capture_output=True, text=True,
        )

    def test_the_tag_is_the_version(self):
        version = re.search(r'\[workspace\.package\]\nversion = "(.*)"', (ROOT / "Cargo.toml").read_text())[1]
        for tag, right in [(f"v{version}", True), (version, False), (f"v{version}.1", False), ("v99.0.0", False)]:
            done = self.step("build", "Compare the tag with the version", ROOT, GITHUB_REF_NAME=tag)
            self.assertEqual(done.returncode == 0, right, tag)
            message = f"::error::The tag is {tag}, and Cargo.toml has version {version}"
            self.assertEqual(message in done.stdout, not right)

    def test_checksums(self):
        with tempfile.TemporaryDirectory() as folder:
            wheels = Path(folder) / "target/wheels"
            wheels.mkdir(parents=True)
            files = ["dvs_prep-1-py3-none-any.whl", "dvs_train-1.tar.gz"]
            for name in files:
                (wheels / name).write_text(name)
            self.assertEqual(self.step("build", "Sum up", folder).returncode, 0)
            self.assertEqual([line.split()[1] for line in (wheels / "SHA256SUMS").read_text().splitlines()], files)
            for job in ["try", "pypi", "release"]:
                shutil.rmtree(Path(folder) / "dist", ignore_errors=True)
                shutil.copytree(wheels, Path(folder) / "dist")
                self.assertEqual(self.step(job, "Check the sums", folder).returncode, 0)
                (Path(folder) / "dist" / files[0]).write_text("other")
                shutil.copyfile(wheels / "SHA256SUMS", Path(folder) / "dist/SHA256SUMS")
                self.assertNotEqual(self.step(job, "Check the sums", folder).returncode, 0)

    def test_each_job_may_do_only_what_it_must(self):
        allowed = {name: job["permissions"] for name, job in self.jobs.items()}
        read = {"contents": "read"}
        write = {"pypi": {"id-token": "write"}, "release": {"contents": "write"}}
        self.assertEqual(allowed, {"build": read, "try": read, **write})
        self.assertEqual(self.jobs["pypi"]["environment"], "pypi")
        for workflow in (ROOT / ".github/workflows").iterdir():
            for job in load(workflow)["jobs"].values():
                for step in job["steps"]:
                    self.assertNotIn("${{", step.get("run", ""), "inputs must reach commands through env")


if __name__ == "__main__":
    unittest.main()
