"""Keys and codes: equal on both sides without a man in the middle, and with one told by the code."""

import json
import secrets

import pytest
from nacl.public import PrivateKey

from mlx_spec.hosts.finding import greeting
from mlx_spec.hosts.finding.greeting import GreetingError, Initiator, Responder, Session
from mlx_spec.hosts.finding.identity import Identity


def identity(name: str) -> Identity:
    return Identity(name, PrivateKey.generate())


def greet(leader: Identity, follower: Identity) -> tuple[Session, Session]:
    """Both sides' sessions, with nobody in between."""
    initiator = Initiator(leader, "pair")
    responder = Responder(follower, initiator.hello)
    opening, ours = initiator.open_with(responder.reply)
    return ours, responder.finish(opening)


def test_both_sides_have_one_code_and_each_others_keys() -> None:
    leader, follower = identity("leader"), identity("follower")
    ours, theirs = greet(leader, follower)
    assert ours.code == theirs.code
    assert len(ours.code) == 6
    assert ours.code.isdecimal()
    assert (ours.sending, ours.receiving) == (theirs.receiving, theirs.sending)
    assert ours.sending != ours.receiving
    assert (ours.key, theirs.key) == (follower.key, leader.key)
    assert (ours.name, theirs.name) == ("follower", "leader")


def test_each_greeting_has_a_code_and_keys_of_its_own() -> None:
    leader, follower = identity("leader"), identity("follower")
    sessions = [greet(leader, follower)[0] for _ in range(8)]
    assert len({one.sending for one in sessions}) == 8
    assert len({one.code for one in sessions}) > 6  # two of a million may be equal, three in eight are not


def test_who_stands_between_them_shows_each_another_code() -> None:
    """With keys of his own, as he has not theirs; the names he may copy."""
    leader, follower = identity("leader"), identity("follower")
    for _ in range(4):
        to_leader, to_follower = identity("follower"), identity("leader")
        initiator = Initiator(leader, "pair")
        fake_responder = Responder(to_leader, initiator.hello)
        opening, on_leader = initiator.open_with(fake_responder.reply)
        fake_responder.finish(opening)
        fake_initiator = Initiator(to_follower, "pair")
        responder = Responder(follower, fake_initiator.hello)
        opening, _ = fake_initiator.open_with(responder.reply)
        on_follower = responder.finish(opening)
        assert on_leader.code != on_follower.code
        assert on_leader.key != follower.key


def test_he_cannot_choose_his_nonce_when_he_knows_theirs() -> None:
    """Else he tries nonces until both codes are the same: a million hashes are a second."""
    follower = identity("follower")
    fake = Initiator(identity("leader"), "pair")
    responder = Responder(follower, fake.hello)
    fake.open_with(responder.reply)
    other = json.dumps({"nonce": secrets.token_hex(32)}).encode()
    with pytest.raises(GreetingError, match="in between"):
        responder.finish(other)


def test_a_greeting_changed_on_its_way_leaves_both_without_common_keys() -> None:
    """The keys are those of all three messages, so that also a changed name or purpose is no one's session."""
    leader, follower = identity("leader"), identity("follower")
    initiator = Initiator(leader, "pair")
    changed = json.loads(initiator.hello) | {"name": "somebody else"}
    responder = Responder(follower, json.dumps(changed).encode())
    opening, ours = initiator.open_with(responder.reply)
    theirs = responder.finish(opening)
    assert ours.sending != theirs.receiving
    assert ours.code != theirs.code


def test_without_the_own_key_nobody_has_the_sessions_keys() -> None:
    """Who only shows a machine's public key comes to other keys than that machine would."""
    leader, follower, thief = identity("leader"), identity("follower"), identity("leader")
    initiator = Initiator(thief, "work")
    shown = json.loads(initiator.hello) | {"key": leader.key.hex()}
    responder = Responder(follower, json.dumps(shown).encode())
    initiator.hello = json.dumps(shown).encode()  # so that all messages are the same on both sides
    opening, ours = initiator.open_with(responder.reply)
    theirs = responder.finish(opening)
    assert ours.code == theirs.code
    assert ours.sending != theirs.receiving


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"lookahead": 2}, "version 2"),
        ({"purpose": "anything"}, "'anything'"),
        ({"key": "00"}, "lacks its key"),
        ({"ephemeral": "00" * 32}, "a key that is none"),
        ({"commitment": None}, "lacks its commitment"),
    ],
)
def test_what_is_no_greeting_is_refused_in_a_sentence(changed: dict[str, object], words: str) -> None:
    initiator = Initiator(identity("leader"), "pair")
    initiator.hello = json.dumps(json.loads(initiator.hello) | changed).encode()
    with pytest.raises(GreetingError, match=words):
        _finish(initiator)


def _finish(initiator: Initiator) -> None:
    responder = Responder(identity("follower"), initiator.hello)
    opening, _ = initiator.open_with(responder.reply)
    responder.finish(opening)


def test_what_is_no_lookahead_at_all_is_told_so() -> None:
    with pytest.raises(GreetingError, match="no Lookahead"):
        Responder(identity("follower"), b"GET / HTTP/1.1")


def test_the_digits_are_spread_evenly_enough_to_be_worth_six() -> None:
    codes = [greeting._derived((b"",), (str(number).encode(),))[2] for number in range(2000)]
    firsts = [sum(code[0] == str(digit) for code in codes) for digit in range(10)]
    assert min(firsts) > 130
    assert max(firsts) < 280
