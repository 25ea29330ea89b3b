"""The contract of `HealthCheck`."""

from pixyproxy.domain.ports import ContentPorts, ImagePorts


async def test_images_that_can_answer_pass(images: ImagePorts) -> None:
    await images.check()


async def test_a_content_store_that_can_answer_passes(store: ContentPorts) -> None:
    await store.check()
