"""Prints a composite action as a workflow with the same inputs, steps and outputs: as_workflow.py ACTION_YML"""

import sys

import yaml
from made_up_runner import load

action = load(sys.argv[1])
outputs = action["outputs"]
workflow = {
    "on": {
        "workflow_call": {
            "inputs": {name: {**says, "type": "string"} for name, says in action["inputs"].items()},
            "outputs": {name: {"value": f"${{{{ jobs.steps.outputs.{name} }}}}"} for name in outputs},
        }
    },
    "jobs": {
        "steps": {
            "runs-on": "ubuntu-latest",
            "outputs": {name: says["value"] for name, says in outputs.items()},
            "steps": action["runs"]["steps"],
        }
    },
}
print(yaml.safe_dump(workflow, sort_keys=False, width=1000))
