"""The images that ``hack/images`` stands in for are those that the operator deploys by default.

Before: two lists, in two folders that must not import each other.
After: raising a version in one of them without the other fails here.
"""

from hack.images.catalogue import BUCKET, DEMO_WORKER, IMAGES, MAIL
from orchestrator_operator.images import DefaultImages


def test_each_store_image_of_the_operator_has_a_stand_in_for_just_that_version() -> None:
    defaults = DefaultImages().model_dump()
    official = {image.name: image.official for image in IMAGES if image.official}

    for name in ("postgres", "redis", "rabbitmq", "nginx"):
        assert official[name] == defaults[name]


def test_every_image_that_the_operator_deploys_is_built_here() -> None:
    deployed = {image.name for image in IMAGES if image.is_deployed}

    assert deployed == {*DefaultImages.model_fields, "operator", DEMO_WORKER, MAIL, BUCKET}
