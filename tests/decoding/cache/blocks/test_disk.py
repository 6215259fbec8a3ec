"""The tier on disk: what is kept is found again, by a new process too; the oldest goes first; nothing else does."""

import errno
import logging
import os
import random
import re
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from mlx_spec.decoding.cache.blocks import shelf
from mlx_spec.decoding.cache.blocks.disk import DiskTier
from mlx_spec.decoding.cache.blocks.shelf import UNCLAIMED_S
from mlx_spec.decoding.cache.blocks.shelves import LOOK_S, DiskUsage, Shelves, prefixes_folder
from mlx_spec.decoding.cache.blocks.stored import StoredBlock
from mlx_spec.machine import private
from tests.decoding.cache.blocks.texts import blocks_of, is_right, keep, keys_of, known

ROOMY = 1 << 30
WHO = "pair-a"


class Clock:
    """A clock that tests move. Files' own times are the machine's, so it begins there."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prefixes"


@pytest.fixture
def tier(folder: Path, clock: Clock) -> DiskTier:
    return DiskTier(folder, WHO, ROOMY, clock)


def files(folder: Path) -> list[str]:
    """All files below a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def path_of(folder: Path, key: bytes, who: str = WHO) -> Path:
    """A block's file."""
    (found,) = (folder / who / "blocks").glob(f"{key.hex()}.*")
    return found


def sizes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines in the log, which are emptied."""
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    caplog.clear()
    return lines


def test_what_was_kept_is_found_by_the_next_process(folder: Path, tier: DiskTier, clock: Clock) -> None:
    keep(tier, "abc", "chat")
    for again in (tier, DiskTier(folder, WHO, ROOMY, clock)):
        assert known(again, "abcd") == 3
        assert known(again, "abd") == 2
        assert known(again, "b") == 0
        assert again.usage == DiskUsage(sizes(folder), 3, 1)
        assert [again.has(key) for key in keys_of("abd")] == [True, True, False]


def test_texts_share_what_they_begin_with(folder: Path, tier: DiskTier) -> None:
    keep(tier, "system one", "1")
    keep(tier, "system two", "2")
    assert tier.usage.num_blocks == len("system ") + 2 * len("one")
    assert tier.children(keys_of("system ")[-1]) == [keys_of("system o")[-1], keys_of("system t")[-1]]
    assert tier.children(b"") == keys_of("s")
    assert tier.children(keys_of("system one")[-1]) == []


def test_a_block_is_written_once_but_anew_where_that_is_asked(folder: Path, tier: DiskTier, clock: Clock) -> None:
    keep(tier, "a")
    before = path_of(folder, *keys_of("a")).stat()
    keep(tier, "a")
    after = path_of(folder, *keys_of("a")).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    (block,) = blocks_of("a", wide=20)
    tier.save(block, anew=True)
    assert tier.usage == DiskTier(folder, WHO, ROOMY, clock).usage == DiskUsage(sizes(folder), 1, 1)
    found = tier.load(block.key)
    assert found is not None
    assert found.content["target"][0][0].size == 20


def test_a_block_without_its_parent_is_of_no_use(folder: Path, tier: DiskTier) -> None:
    tier.save(blocks_of("ab")[1])
    assert files(folder) == []


def test_other_models_find_nothing(folder: Path, tier: DiskTier, clock: Clock) -> None:
    keep(tier, "abc")
    other = DiskTier(folder, "pair-b", ROOMY, clock)
    assert known(other, "abc") == 0
    assert other.children(b"") == []
    assert other.usage.num_blocks == 3, "the limit is for all"


@pytest.mark.parametrize("identity", ["", "..", "a/b", "A", "a b", "x" * 65])
def test_an_identity_that_names_no_folder_is_refused(folder: Path, identity: str) -> None:
    with pytest.raises(ValueError, match="is no identity"):
        DiskTier(folder, identity, ROOMY)


# Damage


def flipped(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "the header's length": lambda path: flipped(path, 0),
    "the header": lambda path: flipped(path, 30),
    "the middle": lambda path: flipped(path, path.stat().st_size // 2),
    "the last byte": lambda path: flipped(path, -1),
    "cut off": lambda path: os.truncate(path, path.stat().st_size - 1),
    "cut in the header": lambda path: os.truncate(path, 20),
    "empty": lambda path: os.truncate(path, 0),
    "zeros, as after a power cut": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "something else": lambda path: path.write_bytes(b"#!/bin/sh\n" * 30),
    "a link": lambda path: (path.rename(path.with_suffix(".x")), path.symlink_to(path.with_suffix(".x"))),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_block_is_dropped_with_a_line_and_never_believed(
    folder: Path, tier: DiskTier, clock: Clock, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tier, "abc", "chat")
    path = path_of(folder, keys_of("ab")[1])
    DAMAGE[damage](path)
    assert known(tier, "abc") == 1
    (line,) = warnings(caplog)
    assert line.startswith(f"{path} is damaged and was dropped")
    assert not path.is_symlink()
    assert not path.exists()
    assert not tier.has(keys_of("ab")[1])
    assert known(tier, "abc") == 1
    assert warnings(caplog) == []
    keep(tier, "abc", "chat")
    assert known(DiskTier(folder, WHO, ROOMY, clock), "abc") == 3
    assert tier.usage.size_bytes == sum(path.stat().st_size for path in folder.rglob("*.[st]*") if path.suffix != ".x")


def test_a_file_of_another_model_is_not_believed(
    folder: Path, tier: DiskTier, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """As where somebody renames a model's folder, or copies a file from one to another."""
    keep(tier, "ab")
    (folder / WHO).rename(folder / "pair-b")
    other = DiskTier(folder, "pair-b", ROOMY, clock)
    assert known(other, "ab") == 0
    assert len(warnings(caplog)) == 2, "the text and the first block"


def test_a_block_under_anothers_name_is_not_believed(folder: Path, tier: DiskTier) -> None:
    keep(tier, "ab")
    keep(tier, "xy")
    one, other = (path_of(folder, keys_of(words)[1]) for words in ("ab", "xy"))
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)
    assert (known(tier, "ab"), known(tier, "xy")) == (1, 1)


def test_a_damaged_text_is_dropped_with_a_line(
    folder: Path, tier: DiskTier, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tier, "ab", "chat")
    keep(tier, "xy", "other")
    names = [path for path in (folder / WHO / "texts").iterdir() if b'"chat"' in path.read_bytes()]
    (path,) = names
    data = path.read_bytes()
    for bad in [data[:-1], data.replace(b"chat", b"that"), b"", b"\n", data[:33], b"\xff" * 40]:
        path.write_bytes(bad)
        again = DiskTier(folder, WHO, ROOMY, clock)
        (line,) = warnings(caplog)
        assert line.startswith(f"{path} is damaged and was dropped")
        assert again.usage.num_texts == 1
        assert not path.exists()


def test_files_that_are_not_ours_are_left_alone(folder: Path, tier: DiskTier, clock: Clock) -> None:
    keep(tier, "ab", "chat")
    strangers = [folder / "notes.txt", folder / WHO / "x", folder / WHO / "blocks" / "a.safetensors"]
    strangers += [folder / WHO / "texts" / "README", folder / "Other Folder" / "blocks" / "b"]
    for path in strangers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    again = DiskTier(folder, WHO, ROOMY, clock)
    assert known(again, "ab") == 2
    again.forget_all()
    assert all(path.read_text() == "mine" for path in strangers)
    assert files(folder) == sorted(path.name for path in strangers)


# Texts and their owners


def test_a_text_takes_the_place_of_those_it_goes_on_from(folder: Path, tier: DiskTier) -> None:
    keep(tier, "ab", "chat")
    keep(tier, "ab", "branch")
    keep(tier, "abx", None)
    keep(tier, "abc", "chat")
    keep(tier, "abcd", "chat")
    keep(tier, "abxy", "chat")  # an edit: the other way stays
    assert tier.usage.num_texts == 3
    texts = Shelves(folder).shelf(WHO).known.texts.values()
    assert {(text.owner, text.keys) for text in texts} == {
        ("branch", tuple(keys_of("ab"))),
        ("chat", tuple(keys_of("abcd"))),
        ("chat", tuple(keys_of("abxy"))),
    }


def test_deleting_a_chat_deletes_what_only_it_holds(folder: Path, tier: DiskTier, clock: Clock) -> None:
    keep(tier, "system one", "1")
    keep(tier, "system one, edited", "1")
    keep(tier, "system two", "2")
    tier.forget_owner("1")
    assert known(tier, "system one") == len("system ")
    assert known(tier, "system two") == len("system two")
    assert tier.usage == DiskUsage(sizes(folder), len("system two"), 1)
    tier.forget_owner("2")
    assert files(folder) == []
    assert tier.usage == DiskUsage()
    keep(tier, "anew", "3")  # though the folders are gone
    assert known(DiskTier(folder, WHO, ROOMY, clock), "anew") == 4


def test_a_chat_is_deleted_whoever_wrote_it(folder: Path, tier: DiskTier, clock: Clock) -> None:
    """By another process, meanwhile; with another model; of an answer that was never finished."""
    other = DiskTier(folder, "pair-b", ROOMY, clock)
    same = DiskTier(folder, WHO, ROOMY, clock)
    keep(other, "ab", "chat")
    keep(same, "xyz", "chat")
    same.save(blocks_of("half")[0])
    keep(same, "xy", "else")
    tier.forget_owner("chat")
    assert sorted(path.name.partition(".")[0] for path in folder.rglob("*.safetensors")) == sorted(
        key.hex() for key in keys_of("xy")
    )
    assert (known(other, "ab"), known(same, "xyz")) == (0, 2)


def test_a_chat_is_deleted_without_any_model(folder: Path, tier: DiskTier) -> None:
    keep(tier, "ab", "chat")
    Shelves(folder).forget_owner("chat")
    assert files(folder) == []
    Shelves(folder / "never made").forget_all()
    assert not (folder / "never made").exists()


def test_everything_is_forgotten(folder: Path, tier: DiskTier, clock: Clock) -> None:
    keep(tier, "ab", "chat")
    keep(DiskTier(folder, "pair-b", ROOMY, clock), "ab")
    tier.save(blocks_of("half")[0])
    (folder / WHO / "blocks" / f".{'0' * 16}.part").write_bytes(b"half")
    tier.forget_all()
    assert list(folder.rglob("*")) == []
    assert tier.usage == DiskUsage()


def test_names_are_hashes_and_say_no_word_and_no_owner(tier: DiskTier, folder: Path) -> None:
    keep(tier, "words", "chat")
    assert len(files(folder)) == 6
    for name in files(folder):
        *hashes, _ = name.split(".")
        assert all(one == "first" or re.fullmatch("[0-9a-f]{32}", one) for one in hashes), name


# The limit


def room_for(count: int, folder: Path) -> int:
    """Bytes that so many blocks take, and their texts."""
    scratch = DiskTier(folder.with_name("scratch"), WHO, ROOMY)
    keep(scratch, "z" * count, "someone")
    size = scratch.usage.size_bytes
    scratch.forget_all()
    return size + 3 * 200


def test_the_oldest_text_goes_first_and_no_block_that_others_hold(folder: Path, clock: Clock) -> None:
    tier = DiskTier(folder, WHO, room_for(12, folder), clock)
    keep(tier, "sys one", "1")
    keep(tier, "sys two", "2")  # 7 + 3
    tier.keep_text(keys_of("sys one"), "1")  # asked again: now the second is the oldest
    keep(tier, "newer", "3")
    assert [known(tier, words) for words in ("sys one", "sys two", "newer")] == [7, 4, 5]
    again = DiskTier(folder, WHO, ROOMY, clock)
    assert again.usage == tier.usage == DiskUsage(sizes(folder), tier.usage.num_blocks, tier.usage.num_texts)


def test_age_is_of_use_not_of_writing_and_survives_copying(folder: Path, clock: Clock, tmp_path: Path) -> None:
    tier = DiskTier(folder, WHO, ROOMY, clock)
    for words in ("aaaa", "bbbb", "cccc"):
        keep(tier, words, words)
    tier.keep_text(keys_of("aaaa"), "aaaa")
    copied = tmp_path / "copy"
    for path in sorted(folder.rglob("*"), reverse=True):  # all with today's times, in another order
        if path.is_file():
            target = copied / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    again = DiskTier(copied, WHO, room_for(8, folder), clock)
    assert [known(again, words) for words in ("aaaa", "bbbb", "cccc")] == [4, 0, 4]


def test_what_a_clock_that_was_ahead_has_dated_goes_first(folder: Path, clock: Clock) -> None:
    tier, ahead_s = DiskTier(folder, WHO, room_for(4, folder), clock), UNCLAIMED_S / 2
    clock.now += ahead_s
    keep(tier, "aa", "1")
    clock.now -= ahead_s
    keep(tier, "bb", "2")
    keep(tier, "cc", "3")
    assert [known(tier, words) for words in ("aa", "bb", "cc")] == [0, 2, 2]


def test_what_an_answer_goes_on_from_is_not_deleted_for_it(folder: Path, clock: Clock) -> None:
    """Though it is the oldest, also where only another text holds it."""
    tier = DiskTier(folder, WHO, room_for(8, folder), clock)
    keep(tier, "abcd", "old")
    keep(tier, "xyz", "newer")
    keep(tier, "abcdef", "old")
    assert (known(tier, "abcdef"), known(tier, "xyz")) == (6, 0)
    keep(tier, "mn", "newer")
    keep(tier, "abcxyz", "branch")
    assert known(tier, "abcxyz") == 6
    assert (known(tier, "mn"), known(tier, "abcdef")) == (0, 3)
    assert tier.usage == DiskUsage(sizes(folder), 6, 1)


def test_of_a_text_too_large_for_the_disk_the_beginning_is_kept(folder: Path, clock: Clock) -> None:
    tier = DiskTier(folder, WHO, room_for(6, folder), clock)
    keep(tier, "abcdefghijkl", "long")
    count = known(tier, "abcdefghijkl")
    assert count == 6
    assert tier.usage == DiskUsage(sizes(folder), count, 1)
    assert sizes(folder) <= room_for(6, folder)


def test_a_smaller_limit_and_what_other_models_wrote_count(folder: Path, tier: DiskTier, clock: Clock) -> None:
    for words in ("aaaa", "bbbb", "cccc"):
        keep(tier, words)
    other = DiskTier(folder, "pair-b", room_for(8, folder), clock)
    assert other.usage == DiskUsage(sizes(folder), 8, 2)
    keep(other, "dddd")
    assert known(other, "dddd") == 4
    again = DiskTier(folder, WHO, ROOMY, clock)
    assert [known(again, words) for words in ("aaaa", "bbbb", "cccc")] == [0, 0, 4]


def test_the_limit_holds_over_many_texts(folder: Path, clock: Clock) -> None:
    """Whatever happens, what is known is what is there, and every text's blocks are there."""
    capacity, chance = room_for(20, folder), random.Random(5)
    tier = DiskTier(folder, WHO, capacity, clock)
    for _ in range(100):
        words = "".join(chance.choice("abc") for _ in range(chance.randrange(1, 9)))
        act = chance.random()
        if act < 0.8:
            keep(tier, words, chance.choice(["1", "2", "3", None]), wide=chance.choice([400, 500]))
        elif act < 0.9:
            tier.forget_owner(chance.choice("123"))
        else:
            known(tier, words)
        assert sizes(folder) == tier.usage.size_bytes <= capacity
        one, truth = tier._shelf.known, Shelves(folder, clock).shelf(WHO).known
        assert (one.blocks.keys(), one.texts, one.holders, one.unclaimed) == (
            truth.blocks.keys(),
            truth.texts,
            truth.holders,
            truth.unclaimed,
        )
        assert all(one.held[name] == text.keys for name, text in one.texts.items())
        assert {key: set(found) for key, found in one.children.items()} == {
            key: set(found) for key, found in truth.children.items()
        }


# What answers leave that end before they are kept


def test_old_orphans_and_half_files_are_swept_young_ones_are_not(folder: Path, tier: DiskTier, clock: Clock) -> None:
    keep(tier, "ab", "chat")
    for block in blocks_of("abxy"):
        tier.save(block)
    half = folder / WHO / "blocks" / f".{'0' * 16}.part"
    half.write_bytes(b"half")
    again = DiskTier(folder, WHO, ROOMY, clock)
    assert known(again, "abxy") == 4, "its answer may be under way, in another process"
    assert half.exists()
    clock.now += UNCLAIMED_S + 1
    again = DiskTier(folder, WHO, ROOMY, clock)
    assert (known(again, "abxy"), known(again, "ab")) == (2, 2)
    assert not half.exists()
    clock.now -= 2 * UNCLAIMED_S  # a clock that was put back
    half.write_bytes(b"half")
    assert known(DiskTier(folder, WHO, ROOMY, clock), "ab") == 2
    assert not half.exists()


def test_what_stands_behind_a_gap_is_of_no_use(folder: Path, tier: DiskTier, clock: Clock) -> None:
    keep(tier, "abcd", "chat")
    path_of(folder, keys_of("ab")[1]).unlink()
    clock.now += UNCLAIMED_S + 1
    again = DiskTier(folder, WHO, ROOMY, clock)
    assert again.usage == DiskUsage(sizes(folder), 1, 1)
    path_of(folder, keys_of("a")[0]).unlink()
    assert DiskTier(folder, WHO, ROOMY, clock).usage == DiskUsage()
    assert files(folder) == []


def test_opening_reads_names_and_no_block(folder: Path, tier: DiskTier, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tier, "abcdef", "chat")
    opened: list[str] = []

    def watched(path: Path) -> bytes:
        opened.append(path.suffix)
        return private.read_private(path)

    monkeypatch.setattr(shelf, "read_private", watched)
    again = DiskTier(folder, WHO, ROOMY)
    assert opened == [".text"]
    again._shelves.look()
    assert opened == [".text"], "a text that has not changed is not read again"


# Several at once


def test_what_another_deleted_is_a_miss_and_is_written_again(folder: Path, tier: DiskTier, clock: Clock) -> None:
    keep(tier, "abc", "chat")
    other = DiskTier(folder, WHO, ROOMY, clock)
    tier.forget_all()
    assert known(other, "abc") == 0
    assert not other.has(keys_of("abc")[1])
    keep(other, "abc", "chat")
    assert known(other, "abc") == 3
    assert other.usage == DiskUsage(sizes(folder), 3, 1)


def test_two_that_save_the_same_are_fine(folder: Path, tier: DiskTier, clock: Clock) -> None:
    other = DiskTier(folder, WHO, ROOMY, clock)
    keep(tier, "abc", "1")
    keep(other, "abc", "2")
    assert DiskTier(folder, WHO, ROOMY, clock).usage == DiskUsage(sizes(folder), 3, 2)
    keep(DiskTier(folder, WHO, ROOMY, clock), "d")
    late = DiskTier(folder, WHO, ROOMY, clock)
    late._shelf.known.blocks.clear()  # as if it had looked before, and read it with other bits
    late.save(blocks_of("d", wide=30)[0])
    assert len(list((folder / WHO / "blocks").glob(f"{keys_of('d')[0].hex()}.*"))) == 2
    assert known(DiskTier(folder, WHO, ROOMY, clock), "d") == 1
    assert len(list((folder / WHO / "blocks").glob(f"{keys_of('d')[0].hex()}.*"))) == 1


def test_one_sees_after_a_while_what_the_other_holds(folder: Path, clock: Clock) -> None:
    """So that it deletes no block of the other's texts, and both together keep to the limit."""
    capacity = room_for(8, folder)
    one, other = (DiskTier(folder, WHO, capacity, clock) for _ in "12")
    keep(one, "aaaa", "1")
    keep(other, "bbbb", "2")
    clock.now += LOOK_S + 1
    keep(one, "cccc", "1")
    assert sizes(folder) <= capacity
    assert [known(one, words) for words in ("aaaa", "bbbb", "cccc")] == [0, 4, 4]


def test_no_block_is_deleted_that_another_process_has_come_to_hold(folder: Path, clock: Clock) -> None:
    capacity = room_for(7, folder)
    one = DiskTier(folder, WHO, capacity, clock)
    keep(one, "aabb", "1")
    other = DiskTier(folder, WHO, capacity, clock)
    keep(other, "aac", "2")
    clock.now += LOOK_S + 1
    keep(one, "dddd", "1")
    assert (known(other, "aac"), known(one, "dddd"), known(one, "aabb")) == (3, 4, 2)


def test_it_lies_in_the_data_folder(lookahead_home: Path) -> None:
    assert prefixes_folder() == lookahead_home / "prefixes"


# Who may read it


def modes(folder: Path) -> set[tuple[bool, int]]:
    """Whether it is a folder, and its mode, of all that is there."""
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in [folder, *folder.rglob("*")]}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_nobody_else_may_read_it_whatever_the_umask(folder: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        tier = DiskTier(folder, WHO, ROOMY)
        keep(tier, "ab", "chat")
        tier.keep_text(keys_of("ab"), "chat")
    finally:
        os.umask(before)
    assert modes(folder) == {(True, 0o700), (False, 0o600)}


def test_a_folder_that_others_could_read_is_closed(folder: Path) -> None:
    (folder / WHO / "blocks").mkdir(parents=True)
    for path in (folder, folder / WHO, folder / WHO / "blocks"):
        path.chmod(0o755)
    DiskTier(folder, WHO, ROOMY)
    assert modes(folder) == {(True, 0o700)}


# A disk that refuses


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Has a call to the system fail, from the n-th on."""

    def refuse(name: str, number: int, *, after: int = 0) -> None:
        calls, real = iter(range(10_000)), getattr(os, name)

        def fails(*given: Any, **named: Any) -> Any:
            if (name != "open" or given[1] & os.O_CREAT) and next(calls) >= after:
                raise OSError(number, os.strerror(number))
            if name == "write":  # a disk that is nearly full takes a part
                return real(given[0], given[1][:100])
            return real(*given, **named)

        monkeypatch.setattr(private.os, name, fails)

    yield refuse
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("call", "number", "after"),
    [
        ("open", errno.EROFS, 0),
        ("open", errno.EACCES, 1),
        ("write", errno.ENOSPC, 0),
        ("write", errno.ENOSPC, 2),
        ("write", errno.EDQUOT, 9),
        ("fsync", errno.EIO, 1),
        ("replace", errno.ENOSPC, 1),
    ],
)
def test_a_full_or_read_only_disk_is_told_once_and_answers_go_on(
    folder: Path,
    clock: Clock,
    refusing: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    call: str,
    number: int,
    after: int,
) -> None:
    keep(DiskTier(folder, WHO, ROOMY, clock), "ab", "chat")
    tier = DiskTier(folder, WHO, ROOMY, clock)
    refusing(call, number, after=after)
    keep(tier, "abcdef", "chat")
    keep(tier, "xyz", "chat")
    (line,) = warnings(caplog)
    assert line == f"{folder} cannot be written to ({os.strerror(number)}): no more is kept on disk."
    assert known(tier, "abcdef") >= 2
    assert not [name for name in files(folder) if name.endswith(".part")]
    tier.forget_owner("chat")
    assert files(folder) == [], "a full disk can still be emptied"
    assert warnings(caplog) == []


def test_where_nothing_can_be_deleted_that_is_told_once(
    folder: Path, tier: DiskTier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tier, "abc", "chat")

    def refuses(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", refuses)
    tier.forget_owner("chat")
    assert known(tier, "abc") == 0
    (line,) = warnings(caplog)
    assert "cannot be deleted" in line


def test_a_folder_that_cannot_be_had_is_no_tier_and_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    assert DiskTier.opened(tmp_path / "file", WHO, ROOMY) is None
    (line,) = warnings(caplog)
    assert line.startswith(f"{tmp_path / 'file'} cannot be used")
    assert DiskTier.opened(tmp_path / "fine", WHO, ROOMY) is not None
    assert warnings(caplog) == []


def test_a_block_that_cannot_be_read_is_a_miss(
    folder: Path, tier: DiskTier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tier, "ab")

    def fails(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("mlx_spec.decoding.cache.blocks.disk.read_private", fails)
    assert known(tier, "ab") == 0
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("shortage", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_process_that_is_short_of_something_deletes_no_block(
    folder: Path, tier: DiskTier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, shortage: int
) -> None:
    keep(tier, "ab")

    def fails(path: Path) -> bytes:
        raise OSError(shortage, os.strerror(shortage))

    with monkeypatch.context() as short:
        short.setattr("mlx_spec.decoding.cache.blocks.disk.read_private", fails)
        assert known(tier, "ab") == 0
    (line,) = warnings(caplog)
    assert "cannot be read now" in line
    assert known(tier, "ab") == 2


def test_what_cannot_be_kept_is_told_once_by_its_kind(
    folder: Path, tier: DiskTier, caplog: pytest.LogCaptureFixture
) -> None:
    ids = np.arange(4, dtype=np.int32)
    for number in range(3):
        tier.save(StoredBlock(bytes([number]) * 16, b"", ids, {"cache": object()}))
    (line,) = warnings(caplog)
    assert "object cannot be kept" in line
    assert files(folder) == []
    keep(tier, "ab")
    assert known(tier, "ab") == 2


def test_a_file_that_shrinks_after_it_was_loaded_matters_not(folder: Path, tier: DiskTier) -> None:
    keep(tier, "a", wide=5000)
    block = tier.load(*keys_of("a"))
    assert block is not None
    path = path_of(folder, *keys_of("a"))
    assert str(path) not in {file.path for file in psutil.Process().open_files()}
    os.truncate(path, 10)
    assert is_right(block)
