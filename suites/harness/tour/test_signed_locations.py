"""Files behind signed addresses: what signs them is written down nowhere, and a tour that was killed goes on anyway."""

from datetime import timedelta
from pathlib import Path

import pytest

from popreceipt.emulator.profile import Profile
from popreceipt.generate.rehearsal import bounds, virtual
from popreceipt.generate.rehearsal.killing import Kill, Mortal, lost
from popreceipt.journal import Exchange, is_unsigned
from popreceipt.tour.tour import Toured


def redirecting(folder: Path) -> Mortal:
    """An emulator whose downloads lead to blob storage."""
    profile = Profile(download_answer="redirect")
    return Mortal(profile, every=timedelta(minutes=1), exports_for=timedelta(hours=2), folder=folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Toured:
    """A tour that nobody interrupted."""
    return redirecting(tmp_path_factory.mktemp("whole") / "out").through(())[0]


def test_a_tour_killed_between_a_redirect_and_its_file_asks_once_more(whole: Toured, tmp_path: Path) -> None:
    """The location that it was told is gone; with a digest in the signature's place nobody is asked for a file."""
    first = next(place for place, each in enumerate(virtual.exchanges_of(whole), 1) if is_unsigned(each.request.url))
    again = []
    for number in range(first - 1, first + 3):
        toured, met = redirecting(tmp_path / str(number)).through([Kill(number, "before")])
        assert met == 1
        assert lost(whole, toured) == []
        sent = virtual.exchanges_of(toured)
        assert bounds.outside(toured.plan.as_json(), sent, interruptions=1) == []
        # 403 is what blob storage answers to a signature that does not fit.
        assert not [each for each in sent if is_unsigned(each.request.url) and status_of(each) == 403]
        again.append(len([each for each in sent[: first + 8] if status_of(each) == 302]))
        for file in (tmp_path / str(number)).rglob("*"):
            assert not file.is_file() or not signatures_in(file.read_text(encoding="utf-8", errors="replace"))
    assert max(again) > min(again)


def status_of(exchange: Exchange) -> int | None:
    return None if exchange.response is None else exchange.response.status


def signatures_in(text: str) -> list[str]:
    return [each for each in text.split("sig=")[1:] if not each.startswith("redacted:")]
