"""Steps as data: JSON and back, names in texts, and what a story needs of itself."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popreceipt.exceptions import UsageError
from popreceipt.reproduction import names, steps
from popreceipt.reproduction.steps import Advance, Call, Obtain, Step, Tell, Token

CHARACTERS = st.characters(exclude_categories=("Cs",))
TEXTS = st.text(CHARACTERS, max_size=30) | st.sampled_from(
    ["{export-1}", "{=export-1}", "{{delivery-2.PopReceipt|quoted}}", "{start+60}", "%7B{import-3|upper}%7D", "{", "}"]
)
GIVEN = st.none() | st.builds("{}-{}".format, st.sampled_from(names.KINDS), st.integers(1, 99))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
TOKENS = (
    st.none()
    | st.builds(Token, st.sampled_from(["current", "named", "literal"]), TEXTS)
    | st.builds(Token, st.just("forged"), TEXTS, st.sampled_from(["signature", "payload"]))
)
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Advance, st.integers(0, 10**7) | st.floats(0, 1e7)),
    st.builds(Tell, TEXTS, TEXTS, JSON, GIVEN),
    st.builds(
        Obtain,
        TEXTS,
        st.sampled_from([1, 2]),
        st.sampled_from(["client_credentials", "password"]),
        st.none() | TEXTS,
        st.booleans(),
        st.none() | TEXTS,
        GIVEN,
    ),
    st.builds(
        Call,
        TEXTS,
        TEXTS,
        TEXTS,
        st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple),
        TEXTS | st.binary(min_size=1, max_size=30),
        st.none() | TEXTS,
        TOKENS,
        st.booleans(),
        st.none() | TEXTS,
        GIVEN,
    ),
)


@given(st.lists(STEPS, max_size=5))
def test_steps_survive_json(story: list[Step]) -> None:
    """What a bundle holds is the very story."""
    told = json.loads(json.dumps([steps.as_json(each) for each in story]))
    assert [steps.of_json(each) for each in told] == story


@given(st.lists(STEPS, max_size=8))
def test_renumbering_twice_changes_nothing_more(story: list[Step]) -> None:
    """Names are counted from 1 by kind."""
    once = steps.renumbered(story)
    distinct = [name for each in story if (name := steps.given_name(each)) is not None]
    if len(set(distinct)) == len(distinct):
        assert steps.renumbered(once) == once
        kinds = [name.rpartition("-") for each in once if (name := steps.given_name(each)) is not None]
        for kind in {each[0] for each in kinds}:
            numbers = [int(each[2]) for each in kinds if each[0] == kind]
            assert numbers == list(range(1, len(numbers) + 1))


@given(TEXTS)
def test_a_text_without_names_comes_back_as_it_was(text: str) -> None:
    """Whatever it looks like."""
    plain = names.escaped(text)
    assert not list(names.named(plain))
    assert names.resolved(plain, lambda _: pytest.fail("nothing in it is a name")) == text


@given(TEXTS, TEXTS, st.sampled_from([(), ("upper",), ("quoted",), ("json",), ("upper", "quoted")]))
def test_names_stand_between_any_texts(before: str, after: str, spellings: tuple[str, ...]) -> None:
    """A name is found again between what is not one, and its value is spelled as it should be."""
    text = names.escaped(before) + names.reference("delivery-1.PopReceipt", *spellings) + names.escaped(after)
    assert list(names.named(text)) == ["delivery-1.PopReceipt"]
    value = 'a b"+/'
    for how in spellings:
        value = names.SPELLINGS[how](value)
    assert names.resolved(text, {"delivery-1.PopReceipt": 'a b"+/'}.__getitem__) == before + value + after


def test_a_name_belongs_to_the_step_that_gives_it() -> None:
    """Members of an answer come from the answer; instants and what the world tells come from no step."""
    assert names.giver("delivery-12.DownloadLocation?blob") == "delivery-12"
    assert names.giver("start+60") is None
    assert names.giver("world.job.export-file") is None
    assert names.giver("token.authorised") is None


def test_a_story_needs_what_its_texts_and_tokens_name() -> None:
    """Wherever the name stands."""
    call = Call(
        "POST",
        "/api/connector/ack/{export-1}",
        query="{message-2|quoted}",
        headers=(("x", "{execution-3}"),),
        body='{"PopReceipt": "{delivery-4.PopReceipt|json}", "CorrelationId": "{delivery-5.CorrelationId}"}',
        token=Token("forged", "token-6"),
    )
    assert steps.needed(call) == {"export-1", "message-2", "execution-3", "delivery-4", "delivery-5", "token-6"}
    assert steps.needed(Tell("PATCH", "/activities/{import-1}", {"a": ["{project-1}"]})) == {"import-1", "project-1"}
    assert steps.needed(Advance(1)) == set()
    assert steps.needed(Call("GET", "/", token=Token("literal", "token-6x"))) == set()


def test_a_story_in_a_row_has_names_of_its_own_each_time() -> None:
    """The second telling needs nothing of the first."""
    story = (Tell("POST", "/activities", {"direction": "export"}, "export-1"), Call("GET", "{export-1}"))
    assert steps.repeated(story, 2) == (
        *story,
        Tell("POST", "/activities", {"direction": "export"}, "export-2"),
        Call("GET", "{export-2}"),
    )


def test_making_the_job_is_no_step() -> None:
    """Everything else counts, a movement of the clock and a planned fault too."""
    story = (
        Tell("POST", "/activities", {"direction": "export"}, "export-1"),
        Tell("POST", "/projects", {}),
        Tell("POST", "/faults", {}),
        Advance(1),
        Call("GET", "/"),
    )
    assert steps.counted(story) == 4


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        {"do": "dance"},
        {"do": "advance"},
        {"do": "advance", "seconds": -1},
        {"do": "advance", "seconds": True},
        {"do": "advance", "seconds": float("nan")},
        {"do": "control", "method": "POST"},
        {"do": "control", "method": "POST", "path": 3},
        {"do": "control", "method": "POST", "path": "/reset", "name": "nonsense"},
        {"do": "request", "method": "GET", "path": "/", "body": {"base64": "!"}},
        {"do": "request", "method": "GET", "path": "/", "body": {"text": 1}},
        {"do": "request", "method": "GET", "path": "/", "headers": [["only"]]},
        {"do": "request", "method": "GET", "path": "/", "token": {"stolen": "x"}},
        {"do": "token", "version": 3},
        {"do": "token", "grant": "begging"},
    ],
)
def test_what_is_no_step_is_refused(told: Any) -> None:
    """With one sentence."""
    with pytest.raises(UsageError, match="step"):
        steps.of_json(told)
