"""Programs that run in a pod beside a platform, as others' clients do.

Before: a platform runs; its API's image has Python.
After: the test reads the pod's log, and deletes the pod.
"""

import json

from platform_under_test import Platform


def start_program(platform: Platform, name: str, program: str, *arguments: str) -> None:
    """Start a pod of this name with a Python program; the level ``restricted`` admits it."""
    [container] = platform.get("deployment", f"{platform.name}-api")["spec"]["template"]["spec"][
        "containers"
    ]
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": name,
                    "image": container["image"],
                    "command": ["python", "-c", program, *arguments],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
    platform.kubectl("apply", "-f", "-", input_text=json.dumps(manifest))
