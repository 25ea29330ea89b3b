"""Connections to addresses that clients and upstreams name, kept out of PixyProxy's own network."""
