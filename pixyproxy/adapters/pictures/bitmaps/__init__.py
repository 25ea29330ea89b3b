"""Containers of bitmaps (PNG, JPEG, WebP and GIF), parsed without decoding a pixel."""
