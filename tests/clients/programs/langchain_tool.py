"""A program that uses LangChain's wrapper of the images API."""

from typing import Any

from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper

from tests.clients.programs.calls import downloaded, serve


def generate(connection: dict[str, Any], *, prompt: str, **options: Any) -> object:
    """Ask for images; return what their URLs bring."""
    wrapper = DallEAPIWrapper(api_key=connection["api_key"], base_url=connection["base_url"], **options)
    return {"pictures": [downloaded(url) for url in wrapper.run(prompt).split("\n")]}


if __name__ == "__main__":
    serve({"generate": generate}, lambda error: {"status": getattr(error, "status_code", None)})
