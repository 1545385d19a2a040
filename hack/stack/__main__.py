"""The commands behind ``make up``, ``make down`` and ``make -s api-url``.

Before: ``make setup`` has made the virtual environment.
After: ``cluster``, ``installing``, ``exposing`` and ``demonstrating`` do the work.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence

import httpx

from hack.stack import demonstrating, exposing, installing
from hack.stack.cluster import (
    ROOT,
    Cluster,
    find_cluster,
    provide_images,
    start_cluster,
    stop_cluster,
)
from hack.tooling.errors import ToolError, explain


def main(arguments: Sequence[str]) -> int:
    """Run one command; a failure is told in sentences."""
    parsed = _parser().parse_args(arguments)
    try:
        match parsed.command:
            case "up":
                up()
            case "prepare":
                prepare()
            case "down":
                down()
            case "run":
                return run_with_cluster(parsed.program)
            case "kubeconfig":
                print(find_cluster().kubeconfig)
            case "api-url" | "edge-url":
                print(exposing.service_url(find_cluster(), parsed.command.removesuffix("-url")))
    except ToolError as error:
        print(explain(error), file=sys.stderr)
        return 1
    return 0


def prepare() -> Cluster:
    """Get a cluster, bring the images to it and install the operator."""
    start = time.monotonic()
    cluster = start_cluster()
    images = provide_images()
    print("installing the operator's chart", flush=True)
    installing.install_operator(cluster, images)
    print(f"the operator runs ({time.monotonic() - start:.0f} s so far)", flush=True)
    return cluster


def up() -> None:
    """Bring everything up, show it at work and say what to try next."""
    cluster = prepare()
    print(f"applying {installing.SAMPLE.relative_to(ROOT)}", flush=True)
    installing.apply_sample(cluster)
    print(f"ready after {installing.await_ready(cluster):.0f} s", flush=True)
    api_url = exposing.service_url(cluster, "api")
    exposing.await_answer(api_url)
    with httpx.Client(base_url=api_url, timeout=10.0) as api:
        login = demonstrating.sign_up(api)
        print("one task of every type:", flush=True)
        demonstrating.show_every_type(api)
        print("a burst, and the workers that come for it:", flush=True)
        demonstrating.show_scaling(api, cluster)
    print(_what_next(cluster, api_url, exposing.service_url(cluster, "edge"), login))


def down() -> None:
    """Remove the platform and the cluster, as far as they are ours."""
    try:
        cluster = find_cluster()
        installing.remove(cluster)
    except ToolError as error:
        print(f"nothing to uninstall: {error}", flush=True)
    stop_cluster()


def run_with_cluster(program: Sequence[str]) -> int:
    """Run a program with the cluster's kubeconfig, kubectl and helm; return its exit status."""
    environment = {**os.environ, **find_cluster().environment}
    return subprocess.run(program, env=environment, check=False).returncode


def _what_next(cluster: Cluster, api_url: str, edge_url: str, login: demonstrating.Login) -> str:
    return f"""
The platform is up.
  API          {api_url}   (through nginx, with its limits: {edge_url})
  login        {login.username} / {login.password}
  kubeconfig   export KUBECONFIG={cluster.kubeconfig}

Try next:
  {cluster.kubectl_path.name} -n {installing.NAMESPACE} get orch {installing.NAME} --watch
  curl -s {api_url}/auth/login -H 'Content-Type: application/json' \\
    -d '{{"username": "{login.username}", "password": "{login.password}"}}'
  make down    # takes everything away again
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hack.stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="bring everything up and show it at work")
    commands.add_parser("prepare", help="cluster, images and operator, without the sample")
    commands.add_parser("down", help="remove what `up` made")
    commands.add_parser("kubeconfig", help="print the path of the kubeconfig")
    commands.add_parser("api-url", help="print the API's address")
    commands.add_parser("edge-url", help="print nginx's address")
    program = commands.add_parser("run", help="run a program with the cluster's environment")
    program.add_argument("program", nargs="+")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
