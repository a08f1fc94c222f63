"""Runs the steps of a composite action as GitHub does, with a made-up runner and a made-up store for actions/cache.

It understands only what our action uses. Anything else is an error, and so is an expression that names an input, a step
or an output that does not exist.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import yaml

TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|(==|!=|&&|\|\||!|\(|\))|([A-Za-z_][\w.-]*))")
PYTHON = {"&&": " and ", "||": " or ", "!": " not "}
CACHE_OUTPUTS = {
    "actions/cache/restore": {"cache-hit", "cache-primary-key", "cache-matched-key"},
    "actions/cache/save": set(),
}


def load(path):
    """YAML whose key `on` stays text."""
    class Loader(yaml.SafeLoader):
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return yaml.load(Path(path).read_text(), Loader)


def evaluate(expression, look):
    """The value of a GitHub expression. `look` gives the value of a name."""
    python, at = "", 0
    while expression[at:].strip():
        token = TOKEN.match(expression, at)
        if not token:
            raise ValueError(f"not understood: {expression[at:]}")
        text, sign, name = token.groups()
        if text:
            python += repr(text[1:-1].replace("''", "'"))
        else:
            python += PYTHON.get(sign, sign) if sign else f"look({name!r})"
        at = token.end()
    return eval(python, {"look": look})


def substitute(text, look):
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(evaluate(found[1], look)), text)


class Store:
    """Keeps files as GitHub's cache store does: by key and path, and never replaces one."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.entries = []

    def file(self, key):
        """The stored file, to damage it."""
        return next(file for entry, _, file in self.entries if entry == key)

    def keys(self):
        return [key for key, _, _ in self.entries]

    def restore(self, keys, path, workspace):
        """The first key wins; an exact match before others, and a newer entry before older ones."""
        for key in keys:
            entries = [e for e in reversed(self.entries) if e[1] == path and e[0].startswith(key)]
            for entry in sorted(entries, key=lambda e: e[0] != key):
                target = workspace / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(entry[2], target)
                return entry[0]
        return ""

    def save(self, key, path, workspace):
        if re.search(r"[*?\[\\]|^[!#~]", path) or {".", ".."} & set(Path(path).parts):
            raise ValueError(f"actions/cache does not take the path {path}")
        if any(e[:2] == (key, path) for e in self.entries):
            raise ValueError(f"actions/cache does not replace {key}")
        file = self.folder / str(len(self.entries))
        shutil.copyfile(workspace / path, file)
        self.entries.append((key, path, file))


class Run:
    """What a run of an action did. `steps` maps the name of each step to what it said, or to None if it was skipped."""

    def __init__(self):
        self.steps = {}
        self.outputs = {}
        self.failed = None

    def said(self):
        return "".join(filter(None, self.steps.values()))


class Runner:
    """A machine with a workspace and a folder for temporary files."""

    def __init__(self, folder, store):
        self.folder = Path(folder)
        self.workspace = self.folder / "workspace"
        self.temp = self.folder / "temp"
        for path in (self.workspace, self.temp):
            path.mkdir(parents=True)
        self.store = store
        self.runs = 0

    def run(self, action, inputs, skip=(), run_id="1", env=None):
        """Runs the action in folder `action` with these inputs, except for the steps named in `skip`."""
        action = Path(action)
        described = load(action / "action.yml")
        unknown = set(inputs) - set(described["inputs"])
        if unknown:
            raise KeyError(f"the action has no input {unknown}")
        values = {name: inputs.get(name, says["default"]) for name, says in described["inputs"].items()}
        outputs = {}
        run = Run()
        self.runs += 1

        def look(name):
            context, _, rest = name.partition(".")
            if context == "inputs":
                return values[rest]
            step, kind, output = rest.split(".")
            if (context, kind) != ("steps", "outputs"):
                raise KeyError(name)
            known, given = outputs[step]
            if output not in known:
                raise KeyError(f"step {step} never sets {output}")
            return given.get(output, "")

        for step in described["runs"]["steps"]:
            name = step["name"]
            wanted = run.failed is None and name not in skip and evaluate(step.get("if", "'true'"), look)
            given = {}
            run.steps[name] = None
            if "uses" in step:
                used = step["uses"].rpartition("@")[0]
                known = CACHE_OUTPUTS[used]
                if wanted:
                    given = self.cache(used, {k: substitute(v, look) for k, v in step["with"].items()})
                    run.steps[name] = ""
            else:
                known = set(re.findall(r"(?<![\w-])([\w-]+)=", (action / "steps").read_text()))
                if wanted:
                    step_env = {k: substitute(v, look) for k, v in step.get("env", {}).items()}
                    code, run.steps[name], given = self.shell(step, action, {**step_env, **(env or {})}, run_id)
                    if code:
                        run.failed = name
            if "id" in step:
                outputs[step["id"]] = known, given
        run.outputs = {k: substitute(v["value"], look) for k, v in described["outputs"].items()}
        return run

    def cache(self, used, given):
        if used == "actions/cache/save":
            self.store.save(given["key"], given["path"], self.workspace)
            return {}
        keys = [given["key"], *given["restore-keys"].split()]
        matched = self.store.restore(keys, given["path"], self.workspace)
        return {"cache-matched-key": matched, "cache-hit": "true" if matched == keys[0] else ""}

    def shell(self, step, action, env, run_id):
        if step["shell"] != "bash" or "${{" in step["run"]:
            raise ValueError(f"a step must run bash and take its inputs through env: {step}")
        results = self.folder / f"output-{self.runs}-{len(list(self.folder.iterdir()))}"
        results.touch()
        runner = {
            "GITHUB_ACTION_PATH": str(action.resolve()),
            "GITHUB_OUTPUT": str(results),
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_RUN_ID": run_id,
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.temp),
        }
        own = {k: v for k, v in os.environ.items() if not k.startswith(("DVS_", "FRAMES_", "GITHUB_"))}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.workspace, env={**own, **runner, **env}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
        )
        given = dict(line.split("=", 1) for line in results.read_text().splitlines())
        return done.returncode, done.stdout, given
