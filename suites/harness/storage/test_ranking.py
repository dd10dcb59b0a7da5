"""Rankings: whoever comes and goes in whatever order, they are read by their ranks."""

from hypothesis import given
from hypothesis import strategies as st

from popreceipt.emulator.store.ranking import Ranking

NAMES = "abcdefgh"
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("next"), st.sampled_from(NAMES)),
        st.tuples(st.just("back"), st.sampled_from(NAMES)),
        st.tuples(st.just("remove"), st.sampled_from(NAMES)),
        st.tuples(st.just("read"), st.sampled_from(NAMES)),
    ),
    max_size=60,
)


@given(steps=STEPS, after=st.integers(-60, 60), limit=st.none() | st.integers(0, 5))
def test_they_are_read_by_their_ranks(steps: list[tuple[str, str]], after: int, limit: int | None) -> None:
    """As a dictionary sorted by its values would be, whenever it is read."""
    ranking, ranks = Ranking(), dict[str, int]()
    for number, (step, name) in enumerate(steps, start=1):
        if step == "remove":
            ranking.remove(name)
            ranks.pop(name, None)
        elif step == "read":
            assert ranking.ranks == ranks
        else:
            ranks[name] = number if step == "next" else -number
            ranking.put(name, ranks[name])
            ranking.put(name, ranks[name])
        if step == "read":
            expected = [each for each in sorted(ranks, key=ranks.__getitem__) if ranks[each] > after][:limit]
            assert ranking.page(after, limit) == expected
            assert ranking.first() == min(ranks, key=ranks.__getitem__, default=None)


def test_what_has_gone_is_forgotten() -> None:
    """However many came and went, what is kept is in proportion to who is there, and the first is found at once."""
    ranking = Ranking()
    for number in range(100_000):
        ranking.put(str(number), number)
        if number >= 10:
            assert ranking.first() == str(number - 10)
            ranking.remove(str(number - 10))
    assert ranking.page(0, None) == [str(number) for number in range(99_990, 100_000)]
    assert len(ranking._those) < 100
    for number in range(100_000, 200_000):
        ranking.put(str(number), number)
    for number in range(200_000):
        ranking.remove(str(number))
        ranking.first()
    assert len(ranking._those) < 100
