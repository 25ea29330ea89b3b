"""PixyProxy generates images through the OpenAI images API and keeps them."""

__version__ = "0.1.0"
