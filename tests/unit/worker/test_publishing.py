"""What the API learns of a task type."""

import json

from orchestrator_core.handlers import discover_handlers
from orchestrator_core.testing import a_handler
from orchestrator_worker.publishing import to_task_type


def test_a_type_is_published_with_the_schema_of_its_payload() -> None:
    published = to_task_type(a_handler(task_type="greet", timeout_seconds=5))

    schema = json.loads(published.payload_schema)
    assert (published.name, published.timeout_seconds, published.max_attempts) == ("greet", 5, 3)
    assert schema["properties"]["text"]["type"] == "string"
    assert schema["additionalProperties"] is False


def test_both_names_of_the_original_service_are_served() -> None:
    assert {"IMAGE_RESIZE", "resize_image"} <= discover_handlers().keys()
