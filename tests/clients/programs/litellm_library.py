"""A program that uses LiteLLM as a library."""

import os
from pathlib import Path
from typing import Any

# Prices come with the package; otherwise importing it asks for newer ones.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

from tests.clients.programs.calls import picture, serve

litellm.suppress_debug_info = True


def generate(connection: dict[str, Any], *, model: str, **arguments: Any) -> object:
    """Ask for images."""
    return _answer(litellm.image_generation(model=f"openai/{model}", **_connection(connection), **arguments))


def edit(connection: dict[str, Any], *, model: str, image: list[str] | str, **arguments: Any) -> object:
    """Ask for an edit of the files at paths."""
    paths = [image] if isinstance(image, str) else image
    files: dict[str, Any] = {"image": [Path(path).read_bytes() for path in paths]}
    if mask := arguments.pop("mask", None):
        files["mask"] = Path(mask).read_bytes()
    return _answer(litellm.image_edit(model=f"openai/{model}", **_connection(connection), **files, **arguments))


def generate_by_router(connection: dict[str, Any], *, model: str, num_retries: int, **arguments: Any) -> object:
    """Ask for images through a Router, which retries by itself."""
    parameters = {"model": f"openai/{model}", **_connection(connection)}
    router = litellm.Router(
        model_list=[{"model_name": model, "litellm_params": parameters}], num_retries=num_retries, retry_after=0
    )
    return _answer(router.image_generation(model=model, **arguments))


def _connection(connection: dict[str, Any]) -> dict[str, Any]:
    connection = dict(connection)
    return {"api_base": connection.pop("base_url"), **connection}


def _answer(answer: Any) -> object:
    return {
        "pictures": [picture(item) for item in answer.data],
        "created": answer.created,
        "usage": answer.usage and answer.usage.model_dump(),
    }


def _describe(error: Exception) -> dict[str, object]:
    return {"status": getattr(error, "status_code", None)}


if __name__ == "__main__":
    functions = (generate, edit, generate_by_router)
    serve({function.__name__: function for function in functions}, _describe)
