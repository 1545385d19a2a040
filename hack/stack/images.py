"""Which images the operator is told to run.

Where images can be put into the cluster, this checkout's are built and loaded; what was not
built here is left to the operator's own defaults, the published images. Into a cluster that
somebody else runs nothing can be put, so there the images have to be named.

Before: ``hack.images`` builds and loads; a person may name images instead.
After: ``installing`` passes them to the chart.
"""

import json
import os
from collections.abc import Mapping

from hack.stack.cluster import Provider, ask_provider, ask_tool
from hack.tooling.errors import ToolError

IMAGES_VARIABLE = "ORCHESTRATOR_STACK_IMAGES"
OPERANDS = ("api", "worker", "nginx", "postgres", "redis", "rabbitmq")
OPERATOR = "operator"
DEMO_WORKER = "demo-worker"
MAIL = "mailpit"
BUCKET = "versitygw"
NAMES = (OPERATOR, *OPERANDS, DEMO_WORKER, MAIL, BUCKET)

_EXAMPLE = '{"api": "…", "worker": "…", "operator": "…"}'


def provide_images(environ: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """Return references by name, each of which the cluster has or can pull.

    Raises:
        ToolError: they cannot be brought there, or are named in a way that makes no sense.
    """
    named = environ.get(IMAGES_VARIABLE)
    if named:
        return parse_named(named)
    if ask_provider() is Provider.EXISTING:
        raise ToolError(
            "images cannot be put into the cluster that KUBECONFIG names",
            advice="build them (`docker build -f api/Dockerfile .`, likewise worker and operator), "
            "push them to a registry that the cluster pulls from, and run this again with "
            f"{IMAGES_VARIABLE}='{_EXAMPLE}'",
        )
    # One call: whatever is edited meanwhile, the names are those of what was loaded.
    return select_built(ask_tool("hack.images", "load", "--json"))


def parse_named(text: str) -> Mapping[str, str]:
    """Read the variable: a JSON object from name to reference.

    Raises:
        ToolError: it is something else.
    """
    try:
        named = json.loads(text)
    except ValueError as error:
        raise _refuse(f"no JSON ({error})") from error
    if not isinstance(named, dict) or not all(isinstance(one, str) for one in named.values()):
        raise _refuse("no JSON object from names to references")
    unknown = sorted(set(named) - set(NAMES))
    if unknown:
        raise _refuse(f"about {', '.join(unknown)}, and there are {', '.join(NAMES)}")
    return named


def select_built(answer: str) -> Mapping[str, str]:
    """Pick, from what ``hack.images load --json`` printed, the images that it loaded."""
    loaded = json.loads(answer)
    return {name: loaded["images"][name] for name in loaded["archives"]}


def build_values(images: Mapping[str, str]) -> list[str]:
    """Turn references into arguments of helm; what is not named keeps the chart's default."""
    operands = {name: images[name] for name in OPERANDS if name in images}
    # The local worker carries the demo task types on top of the built-in ones.
    if DEMO_WORKER in images:
        operands["worker"] = images[DEMO_WORKER]
    values = [f"--set-json=defaultImages={json.dumps(operands)}"] if operands else []
    return [
        *values,
        *(f"--set-string=image={images[name]}" for name in (OPERATOR,) if name in images),
    ]


def _refuse(found: str) -> ToolError:
    return ToolError(
        f"{IMAGES_VARIABLE} is {found}", advice=f"set it like '{_EXAMPLE}', or unset it"
    )
