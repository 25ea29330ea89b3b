"""The containers of bitmaps (PNG, JPEG, WebP and GIF), read without decoding a pixel."""
