"""Folders that keep data."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixyproxy.adapters.disk.folders import make_data_folder, make_folder_within


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_folders_are_for_owner_and_group(tmp_path: Path, umask: int) -> None:
    make_data_folder(tmp_path / "srv" / "pixy" / "images")
    for name in ("srv", "srv/pixy", "srv/pixy/images"):
        assert mode_of(tmp_path / name) == 0o750


def test_existing_folders_keep_their_mode(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o705)
    make_data_folder(tmp_path / "data")
    make_data_folder(tmp_path / "data" / "images")
    assert mode_of(tmp_path / "data") == 0o705
    assert mode_of(tmp_path / "data" / "images") == 0o750


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o770, 0o775, 0o2770])
def test_a_folder_within_has_the_mode_of_its_parent(tmp_path: Path, umask: int, mode: int) -> None:
    root = tmp_path / "images"
    root.mkdir()
    root.chmod(mode)
    make_folder_within(root / "ab")
    make_folder_within(root / "ab")
    make_folder_within(root / "ab" / "cd")
    assert mode_of(root / "ab") == mode
    assert mode_of(root / "ab" / "cd") == mode


def test_a_folder_within_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make_folder_within(tmp_path / "images" / "ab")
