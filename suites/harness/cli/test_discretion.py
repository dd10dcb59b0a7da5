"""What a command says of an error holds no key, no token, and nothing that acts upon a terminal."""

import pytest

from popreceipt.cli.main import _say, _without_key

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0xx.c2lnbmF0dXJl"


def failing(words: str) -> None:
    raise ValueError(words)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["load", "--control-key", "hush", "imports"], ["load", "--control-key", "…", "imports"]),
        (["verify", "--control-key=hush"], ["verify", "--control-key=…"]),
        (["verify", "--out", "x"], ["verify", "--out", "x"]),
        (["verify", "--control-key"], ["verify", "--control-key"]),
    ],
)
def test_a_control_key_is_not_told(given: list[str], told: list[str]) -> None:
    """The hint how to see more of a fault quotes the command line, and ends up in logs."""
    assert _without_key(given) == told


@pytest.mark.parametrize("with_trace", [False, True])
def test_a_strangers_words_act_upon_no_terminal(capsys: pytest.CaptureFixture[str], with_trace: bool) -> None:
    """A server's words stand in errors, and in what they are raised from."""
    words = f"the server said \x1b]0;owned\x07\u202e{TOKEN} at https://h/b?sig={'a' * 40}"
    try:
        failing(words)
    except ValueError as error:
        _say(str(error), with_trace)
    said = capsys.readouterr().err
    for each in ("\x1b", "\x07", "\u202e", TOKEN, "a" * 40):
        assert each not in said
    assert said.count("the server said ⟨U+001B⟩") == (2 if with_trace else 1)
    assert ("Traceback" in said) is with_trace
