"""The running API holds what its own OpenAPI document says, whatever is sent to it.

Schemathesis makes the requests from the document, valid and broken ones, follows the
links from one call to the next, and judges each answer with all of its checks. One run
has a fixed seed, so that a change is judged by the same requests as before it; one has
another seed each time, which a failure prints.
"""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from api_clients import PASSWORD
from served_api import ServedApi

HOOKS = Path(__file__).parents[2] / "support" / "schemathesis_hooks.py"
USERS = ("alice", "bob")
FIXED_SEED = 20_241_225
MAX_SECONDS = 120
CONFIGURATION = """
hooks = "{hooks}"
continue-on-failure = true
request-timeout = 10.0

[generation]
max-examples = {max_examples}
database = "none"
# No schema says "no NUL": test_hostile_input sends one in every field.
allow-x00 = false

[phases.coverage]
generate-duplicate-query-parameters = true

[phases.stateful]
max-steps = 8

# Two users, and neither may ever read what the other has made.
[auth.wfc]
path = "{users}"
user = "alice"
peers = ["alice", "bob"]

[checks]
max_response_time = 5.0

# A stream of events has no end; the first event shows its form, if one comes soon.
[[operations]]
include-tag = "events"
max-stream-events = 1
request-timeout = 0.5
"""
LOGIN = {
    "endpoint": "/auth/login",
    "verb": "POST",
    "contentType": "application/json",
    "token": {
        "extractFrom": "body",
        "extractSelector": "/access_token",
        "sendIn": "header",
        "sendName": "Authorization",
        "sendTemplate": "Bearer {token}",
    },
}


def register(url: str, run: str, folder: Path) -> Path:
    """Make the users of one run; return the file that tells Schemathesis how to log in."""
    entries = []
    for user in USERS:
        credentials = {"username": f"{user}-{run}", "password": f"{PASSWORD}-{user}-{run}"}
        assert httpx.post(f"{url}/auth/register", json=credentials).status_code == 201
        fields = {"usernameField": "username", "passwordField": "password"}
        entries.append(
            {"name": user, "loginEndpointAuth": {"payloadUserPwd": credentials | fields}}
        )
    file = folder / "users.json"
    document = {"auth": entries, "authTemplate": {"loginEndpointAuth": LOGIN}}
    file.write_text(json.dumps(document))
    return file


@pytest.mark.parametrize(
    ("seed", "max_examples"),
    [
        pytest.param(FIXED_SEED, 25, id="fixed seed"),
        pytest.param(random.SystemRandom().randrange(2**31), 10, id="another seed"),
    ],
)
def test_whatever_is_sent_the_answer_is_one_that_the_document_allows(
    running_api: ServedApi,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    seed: int,
    max_examples: int,
) -> None:
    record_property("seed", seed)
    users = register(running_api.url, str(seed), tmp_path)
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(
        CONFIGURATION.format(hooks=HOOKS, users=users, max_examples=max_examples)
    )
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={configuration}",
        "--no-color",
        "run",
        f"{running_api.url}/openapi.json",
        f"--seed={seed}",
    ]

    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=MAX_SECONDS, check=False
    )

    assert run.returncode == 0, f"seed {seed}:\n{run.stdout[-20_000:]}{run.stderr[-5_000:]}"
    unexpected = [line for line in running_api.lines() if line["event"] == "unexpected error"]
    assert unexpected == []
