"""Adapters on libvips."""
