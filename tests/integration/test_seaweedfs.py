"""The S3 server that tests use: what makes it a worse neighbour when a test wants one."""

import socket

import pytest

from tests.doubles.moto import Moto
from tests.doubles.seaweedfs import SeaweedFS, status_of


def answers(server: SeaweedFS) -> bool:
    return status_of(f"{server.endpoint}/healthz") == 200


def test_a_server_can_be_frozen_and_killed_and_comes_back() -> None:
    with SeaweedFS() as server:
        server.freeze()
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(100)
            server.thaw()
            client.settimeout(10)
            assert client.recv(100).startswith(b"HTTP/1.0 200")
        server.kill()
        assert not answers(server)
        server.start()
        assert answers(server)


def test_each_url_is_a_store_of_its_own(seaweedfs: SeaweedFS, moto: Moto) -> None:
    for server in (seaweedfs, moto):
        assert server.url() != server.url()
        assert server.url("a/b") == f"s3://pixyproxy/a/b?endpoint={server.endpoint}&region=us-east-1"
