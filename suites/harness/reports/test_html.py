"""The page of a result: all of it is there, nothing of a stranger acts, nothing secret is told, and it stays small."""

import json
import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from lxml import html

from popreceipt.exceptions import UsageError
from popreceipt.journal import Exchange, Header, Journal, Request
from popreceipt.reports import comparison, result
from popreceipt.reports.html import gathering, page, telling
from popreceipt.reports.html.story import story
from popreceipt.rules import catalogue
from popreceipt.verdict import Finding, Outcome, Verdicts

from . import runs

EVIL = "<script>document.title = 'mine'</script>"
TURNS = "\u202etxt.exe\u2066"
ESCAPES = "\x1b]0;mine\x07\x1b[31m"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJjYW5hcnkiOiJ0cnVlIn0.Y2FuYXJ5LXNpZ25hdHVyZQ"
SECRET = "canary~Secret/8Q~with+odd&signs="
RULES = {each.id: each for each in catalogue(None)}


def page_of(folder: Path, previous: Path | None = None) -> str:
    """The page of what lies in a folder."""
    read = result.read(folder)
    compared = None if previous is None else comparison.compare(read, result.read(previous))
    return page.as_page(read, RULES, read.journal, compared)


@cache
def whole() -> str:
    """A page with everything in it, made once."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as made:
        before = runs.leave(Path(made) / "before", target={"name": "tenant:qa"}, seed=6, failures=())
        told = json.loads((before / "verdicts.json").read_text(encoding="utf-8"))
        for each in told["rules"]:
            if each["id"] == runs.HALF_HOUR:
                each["outcome"] = "held"
            if each["id"] == runs.STALE:
                each["answer"] = "500"
        (before / "verdicts.json").write_text(json.dumps(told), encoding="utf-8")
        return page_of(runs.leave(Path(made) / "now"), before)


def words(element: Any) -> str:
    """What is to be read in an element."""
    return " ".join(" ".join(element.itertext()).split())


def test_the_answer_stands_at_the_top() -> None:
    """How it went in a word and a sentence, how many rules ended how, and what else to know at once."""
    top = words(html.document_fromstring(whole()).xpath("//header")[0])
    assert "Verdict on tenant:qa" in top
    assert "✘ Violated 1 rule that must hold is violated: A message nobody acknowledged stays hidden" in top
    assert "1 open point of the documentation is answered otherwise than usual." in top
    assert "17 rules were not exercised." in top
    assert "1 further check of fuzz failed." in top
    assert "Noted." in top
    tiles = [words(each) for each in html.document_fromstring(whole()).xpath("//ul[@class='tiles']/li")]
    assert tiles == [
        "1 ✘ violated",
        "1 ! not kept",
        "1 ? undecided",
        "87 ✔ held",
        "62 → answered",
        "1 ≠ answered otherwise",
        "17 ○ not exercised",
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rules": ("held",)}, "✔ Held No rule is violated"),
        ({"rules": ("held",), "complete": False}, "! Not complete The run did not come to its end. This is no pass."),
        ({"rules": ("unexercised",)}, "! Nothing proved"),
        ({"rules": ("held", "undecided")}, "! Held, with remarks No rule that must hold is violated; 1 rule could not"),
        ({"rules": ("violated",), "complete": False}, "✘ Violated"),
    ],
)
def test_the_answer_fits_the_result(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    """A run that is cut off, or proved nothing, is no pass, whatever else it says."""
    findings = {each: [Finding(Outcome(each), "so", (1,))] for each in ("held", "undecided", "violated")}
    chosen = [runs.HALF_HOUR, "redelivery.after-half-an-hour"]
    made = tuple(
        runs.verdict(rule, Outcome(each), findings.get(each, ()), reason="why" if each == "unexercised" else None)
        for rule, each in zip(chosen, changes["rules"], strict=False)
    )
    folder = runs.leave(tmp_path, failures=(), rules=made, **{k: v for k, v in changes.items() if k != "rules"})
    assert expected in words(html.document_fromstring(page_of(folder)).xpath("//header")[0])


def test_every_rule_has_text_place_level_provenance_and_outcome() -> None:
    """None is left out, each has its own address, and all that a reader wants to know of it stands there."""
    root = html.document_fromstring(whole())
    there = {each.xpath("string(.//summary//code)"): each for each in root.xpath("//section[@id='rules']//details")}
    service = catalogue()
    assert set(there) >= {each.id for each in service}
    for each in service:
        told = words(there[each.id])
        assert " ".join(each.text.split()) in told
        if "What was found stands further up" not in told:
            assert str(each.source) in told
            assert each.level.value in told
            assert each.provenance.value.capitalize() in told


def test_what_is_to_be_mended_stands_first_with_its_story_and_its_exchanges() -> None:
    """MUST before SHOULD before what suites found; the story names the half hour; witnesses that are lost are named."""
    root = html.document_fromstring(whole())
    cards = root.xpath("//section[@id='mend']/article")
    assert [each.xpath("string(.//p[contains(@class, 'under')]//code)") for each in cards] == [
        runs.HALF_HOUR,
        runs.SHOULD,
        "no-server-fault",
    ]
    steps = [words(each) for each in cards[0].xpath(".//ol[@class='story']/li")]
    assert steps == [
        "00:00:00 an export uploads 3 records",
        "00:00:00 authorised is handed message 29bc00e5 200 #1, shows it",
        "1 s; the half hour of #1 runs",
        "00:00:01 authorised downloads 44 bytes 200 #2",
        "29 min 58 s; the half hour of #1 runs",
        "00:29:59 authorised is handed message 29bc00e5 200 #3, shows it",
        "1 s; the half hour of #3 runs",
        "00:30:00 the half hour of #1 is over",
    ]
    assert "And 2 more findings like them, in verdicts.json." in words(cards[0])
    assert "popreceipt replay bundles/half-an-hour" in words(cards[0])
    assert 'curl -i -H "Authorization: Bearer $TOKEN"' in words(cards[0])
    assert "Not in the journal: #999." in words(cards[1])
    assert "a zip archive, SHA-256" in words(cards[1])


def test_what_was_not_exercised_is_grouped_by_its_reason() -> None:
    """What holds back most rules comes first."""
    root = html.document_fromstring(whole())
    told = root.xpath("//section[@id='unexercised']//div[@class='reason']")
    assert [words(each.xpath("h3")[0]) for each in told] == ["tenant:qa lacks batch", "no situation for it arose"]
    assert [len(each.xpath(".//li")) for each in told] == [15, 2]


def test_the_dialect_tells_the_answers_and_the_unusual_ones_first() -> None:
    """Each open point with the answer and the usual one."""
    root = html.document_fromstring(whole())
    tables = root.xpath("//section[@id='answers']//table")
    assert [len(each.xpath("tbody/tr")) for each in tables] == [1, 62]
    assert [words(each) for each in tables[0].xpath("tbody/tr/td")] == ["≠ 404", "500"]


def test_the_matrix_has_a_field_for_each_rule_that_leads_to_it() -> None:
    """Told by a sign, and by words to those who do not see it."""
    root = html.document_fromstring(whole())
    fields = root.xpath("//section[@id='matrix']//td/a")
    assert len(fields) == len(catalogue())
    ids = set(root.xpath("//@id"))
    assert {each.get("href").removeprefix("#") for each in fields} <= ids
    told = {words(each) for each in fields}
    assert "✘ not before half an hour: violated" in told


def test_the_earlier_result_stands_beside() -> None:
    """What became worse, better and different, and what makes the two hard to compare."""
    told = words(html.document_fromstring(whole()).xpath("//section[@id='changed']")[0])
    assert "another seed: 6 then, 7 now" in told
    assert f"▼ 1 worse Newly violated {runs.HALF_HOUR} held → violated" in told
    assert f"◆ 1 otherwise Answered otherwise {runs.STALE} 500 → 404" in told
    assert "Checks that fail now fuzz: no-server-fault" in told
    assert "Checks that fail now conformance" not in told
    assert "new since the earlier result" in words(html.document_fromstring(whole()).xpath("//article")[0])


def test_the_run_is_told_with_its_circumstances_and_the_journals_digest() -> None:
    """Target, clock, seed, duration, what suites did, requests by operation."""
    told = words(html.document_fromstring(whole()).xpath("//section[@id='run']")[0])
    for each in ("Seed 7", "Duration 1 h 2 min", "Build 10.0.1", "requests 12", "dequeue 4 9", "SHA-256", "Whole yes"):
        assert each in told
    assert "dequeue 3 3 0 0 0" in told
    assert "asked line 0 0 line 1 1" in told
    assert "parked until 9 January 2026, 06:00:03 UTC" in told
    assert "steps: 21 rows" in told
    [folded] = html.document_fromstring(whole()).xpath("//section[@id='run']//details[contains(@class, 'fold')]")
    assert len(folded.xpath(".//tbody/tr")) == 21
    assert "states how why drain parked ack done" in told


def test_references_within_the_page_lead_somewhere_and_nothing_is_loaded() -> None:
    """Ids are there once; only links lead outside, to where a rule's source is read."""
    root = html.document_fromstring(whole())
    ids = root.xpath("//@id")
    assert len(ids) == len(set(ids))
    links = root.xpath("//a/@href")
    assert {each.removeprefix("#") for each in links if each.startswith("#")} <= set(ids)
    outside = {each.split("/")[2] for each in links if not each.startswith("#")}
    assert outside <= {"learn.microsoft.com", "www.rfc-editor.org", "github.com"}
    for name in ("src", "srcset", "data", "poster", "action", "formaction", "background", "style"):
        assert root.xpath(f"//@{name}") == []
    assert not re.search(r"@import|url\(", whole())


def test_the_policy_lets_our_script_run_and_no_other() -> None:
    """One script and one style sheet, each named by its digest."""
    root = html.document_fromstring(whole())
    policy = root.xpath("string(//meta[@http-equiv='Content-Security-Policy']/@content)")
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert len(root.xpath("//script")) == len(root.xpath("//style")) == 1
    assert not [each for each in root.xpath("//@*") if each.attrname.startswith("on")]


def test_the_same_result_has_the_same_bytes(tmp_path: Path) -> None:
    """No time of day, no counter; lines end in the same way everywhere."""
    folder = runs.leave(tmp_path)
    assert page_of(folder) == page_of(folder)
    assert page.write(page_of(folder), tmp_path / "new" / "page.html") == len(
        (tmp_path / "new" / "page.html").read_bytes()
    )


def test_what_a_stranger_says_is_text_that_does_nothing(tmp_path: Path) -> None:
    """Markup, templates, escapes of a terminal, marks that turn the writing, in each place that a stranger fills."""
    told = f"{EVIL}{TURNS}{ESCAPES}{{{{ 7*7 }}}}\"'--><!--]]>"
    made = page_of(runs.leave(tmp_path, told))
    root = html.document_fromstring(made)
    assert len(root.xpath("//script")) == 1
    assert root.xpath("//comment()") == []
    assert words(root).count(EVIL) > 200
    assert "49" not in words(root.xpath("//h1")[0])
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", made)
    assert "⟨U+202E⟩" in words(root.xpath("//h1")[0])


def test_halves_of_characters_and_bytes_that_are_no_text_are_shown(tmp_path: Path) -> None:
    """A page can always be written, whatever stands in the result or the journal."""
    recorded = Journal()
    for body in (b"\xff\xfe\x00", b"\x00" * 100, "\ufeff\u2028".encode(), b'{"a": "\\ud800"}', b"[" * 60_000):
        recorded.record(
            sent=runs.NOW,
            answered=runs.NOW,
            method="GET\x1b",
            url=f"http://h/api/connector/dequeue/{runs.ACTIVITY}",
            status=200,
            response_headers=[("content-type", "application/json")],
            response_body=body,
        )
    recorded.add(Exchange(6, runs.NOW, runs.NOW, "other", Request("GET", "http://[half/an?address=\ud800")))
    rules = (
        runs.verdict(runs.HALF_HOUR, Outcome.VIOLATED, [Finding(Outcome.VIOLATED, "\ud800 so", tuple(range(1, 7)))]),
    )
    folder = runs.leave(tmp_path, rules=rules, failures=())
    read = result.read(folder)
    views = [telling.told(gathering.without_secrets(each)) for each in recorded.exchanges()]
    assert [each.received.text if each.received else "" for each in views][:2] == [None, "\x00" * 100]
    page.write(page_of(folder), tmp_path / "page.html")
    assert "⟨U+D800⟩ so" in words(html.document_fromstring(page.as_page(read, RULES, read.journal)))


def test_it_stays_small_whatever_a_result_holds(tmp_path: Path) -> None:
    """Thousands of findings, bodies and messages of very many characters: less than five million bytes all the same."""
    long = "x" * 200_000
    recorded = runs.journal()
    lines = [json.loads(each) for each in recorded.lines()]
    for each in lines:
        if each.get("response", {}).get("body") if each.get("response") else None:
            each["response"]["body"] = {"text": long}
    rules = [
        runs.verdict(each, Outcome.VIOLATED, [Finding(Outcome.VIOLATED, "back", tuple(range(1, 6)))] * 20)
        for each in catalogue()
    ]
    folder = runs.leave(tmp_path, rules=tuple(rules), notes=(long,))
    told = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
    told["rules"][0]["findings"] = [
        {"outcome": "violated", "message": long[:1000], "exchanges": list(range(1, 500)), "bundle": None}
    ] * 5000
    told["rules"][1]["findings"][0]["message"] = long
    told["suites"] = {
        "many": {"rows": [{"a": long[:100], "b": 1}] * 3000, "deep": {str(n): {"x": n} for n in range(3000)}}
    }
    told["failures"] *= 3000
    (folder / "verdicts.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "journal.ndjson").write_bytes(b"".join(json.dumps(each).encode() + b"\n" for each in lines))
    made = page_of(folder)
    assert len(made.encode()) < 5_000_000
    assert "199,000 more characters" not in made  # a cut says how much is left, and this one is cut later
    assert "198,500 more characters" in made
    assert "And 4,997 more findings like them" in made


def test_no_secret_is_told_even_where_a_journal_of_others_holds_it(tmp_path: Path) -> None:
    """A page travels: whatever wrote the journal, tokens and secrets in it are replaced before anybody reads them."""
    recorded = Journal()
    heads = (("authorization", f"Bearer {TOKEN}"), ("x-api-key", SECRET), ("x-odd", TOKEN))
    form = f"grant_type=client_credentials&client_id=a&client_secret={SECRET}"
    lines = [next(iter(recorded.lines())).decode()]
    told = {"token_type": "Bearer", "access_token": TOKEN, "refresh_token": SECRET}
    exchanges = [
        ("token", "POST", "http://h/t/oauth2/v2.0/token", form, json.dumps(told)),
        ("dequeue", "GET", f"http://h/api/connector/dequeue/{runs.ACTIVITY}?access_token={SECRET}", "", TOKEN),
        ("ack", "POST", f"http://h/api/connector/ack/{runs.ACTIVITY}", f'{{"client_secret": "{SECRET}"}}', ""),
    ]
    for number, (operation, method, url, asked, said) in enumerate(exchanges, 1):
        entry = {
            "seq": number,
            "sent": "2026-01-01T00:00:00Z",
            "answered": "2026-01-01T00:00:00Z",
            "operation": operation,
            "request": {
                "method": method,
                "url": url,
                "headers": [*heads, ("content-type", "application/x-www-form-urlencoded")],
                "body": {"text": asked} if asked else None,
            },
            "response": {"status": 200, "headers": heads, "body": {"text": said} if said else None},
            "failure": None,
            "actor": f"authorised {'x' * 50} {TOKEN}",
        }
        lines.append(json.dumps(entry))
    lines.append('{"footer": true, "lines": 5}')
    finding = Finding(Outcome.VIOLATED, f"{'x' * 1490} {TOKEN}", (1, 2, 3))
    folder = runs.leave(tmp_path, TOKEN, rules=(runs.verdict(runs.HALF_HOUR, Outcome.VIOLATED, [finding]),))
    (folder / "journal.ndjson").write_text("\n".join(lines), encoding="utf-8")
    made = page_of(folder)
    assert "redacted:" in made
    for canary in (SECRET, SECRET.replace("&", "&amp;"), TOKEN, TOKEN[:24], "eyJjYW5hcnki"):
        assert canary not in made


def test_without_a_journal_findings_stand_alone(tmp_path: Path) -> None:
    """The page says that the exchanges are missing, and which."""
    folder = runs.leave(tmp_path)
    (folder / "journal.ndjson").unlink()
    told = words(html.document_fromstring(page_of(folder)))
    assert "There is no journal beside the result" in told
    assert "Not in the journal: #1, #3." in told


def test_a_journal_that_was_cut_off_is_told(tmp_path: Path) -> None:
    """With the line at which it ends."""
    folder = runs.leave(tmp_path)
    content = (folder / "journal.ndjson").read_bytes().splitlines()
    (folder / "journal.ndjson").write_bytes(b"\n".join(content[:4]))
    made = page_of(folder)
    assert "The journal was cut off: it ends after 4 lines without a footer." in made
    assert len(html.document_fromstring(made).xpath("//div[contains(@class, 'note-box')]")) == 2
    # Whoever judged it may have noted that already.
    noted = runs.leave(tmp_path / "noted", notes=("Cut off: it ends after 4 lines without a footer. Judged so far.",))
    (noted / "journal.ndjson").write_bytes(b"\n".join(content[:4]))
    assert len(html.document_fromstring(page_of(noted)).xpath("//div[contains(@class, 'note-box')]")) == 1


def test_a_shortened_lease_is_drawn_as_long_as_it_was() -> None:
    """As the journal's header says; an acknowledgment ends it."""
    recorded = runs.journal(lease_seconds=6.0)
    told = story(recorded.entries, (1, 3), recorded.header)
    assert told is not None
    assert [each.words for each in told.steps if each.reckoned] == ["the lease of 6 s of #1 is over"]
    assert told.steps[-1].words == "is told that nothing waits"


def test_a_middleware_is_shown_by_its_scenarios(tmp_path: Path) -> None:
    """Each with its worst outcome; the evidence of a violated rule comes from the first scenario that shows it."""
    rule = runs.verdict("acknowledgment.after-storing", Outcome.VIOLATED, [Finding(Outcome.VIOLATED, "early", (1, 4))])
    folder = runs.leave(tmp_path, rules=(rule,), failures=())
    told = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
    block = {"title": "Late", "dialect": None, "rules": [rule.as_json()], "harness_fault": None, "lacks": None}
    held = runs.verdict("acknowledgment.after-storing", Outcome.HELD).as_json()
    told["scenarios"] = [block | {"name": "plain", "rules": [held]}, block | {"name": "late"}]
    told["dialects"] = [{"dialect": "a=b", "survived": False, "broken": {"scenario": "late", "words": "early"}}]
    (folder / "verdicts.json").write_text(json.dumps(told), encoding="utf-8")
    read = result.read(folder)
    made = page.as_page(read, RULES, None, None, lambda each: read.journal if each["name"] == "late" else None)
    root = html.document_fromstring(made)
    rows = [words(each) for each in root.xpath("//section[@id='scenarios']//tbody/tr")]
    assert rows[0].startswith("plain Late ✔ held")
    assert rows[1].startswith("late Late ✘ violated acknowledgment.after-storing")
    assert rows[2].startswith("a=b ✘ violated late: early")
    assert "shown as in late" in words(root.xpath("//article")[0])
    assert len(root.xpath("//article//details[contains(@class, 'exchange')]")) == 2
    assert [words(each) for each in root.xpath("//section[@id='matrix']//th[@role='columnheader']")] == [
        "Chapter",
        rule.level.value,
    ]


@pytest.mark.parametrize(
    ("lasted", "told"),
    [
        (timedelta(milliseconds=12), "12 ms"),
        (timedelta(seconds=1.5), "1.5 s"),
        (timedelta(minutes=29, seconds=59), "29 min 59 s"),
        (timedelta(hours=1), "1 h"),
        (timedelta(days=7, seconds=1), "7 d 1 s"),
        (timedelta(seconds=-61), "−1 min 1 s"),
    ],
)
def test_times_are_told_in_their_two_largest_units(lasted: timedelta, told: str) -> None:
    """Enough to see what matters."""
    assert telling.lasting(lasted) == told


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setattr(page, "ENGINES", {"no_such_module": "no-such-package"})
    with pytest.raises(UsageError, match=r'no-such-package: pip install "popreceipt\[report\]"'):
        page.require()


def test_a_rule_that_nobody_knows_is_shown_all_the_same(tmp_path: Path) -> None:
    """A result of another version; two rules of the same address do not share it."""
    folder = runs.leave(tmp_path, rules=(runs.verdict(runs.HALF_HOUR, Outcome.HELD),), failures=())
    told = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
    told["rules"] += [told["rules"][0] | {"id": name, "chapter": "new"} for name in ("new.One", "new.one", "")]
    (folder / "verdicts.json").write_text(json.dumps(told), encoding="utf-8")
    root = html.document_fromstring(page_of(folder))
    ids = [each for each in root.xpath("//@id") if each.startswith("rule-")]
    assert len(ids) == len(set(ids)) == 4
    assert "This version of popreceipt does not know the rule." in words(root)


def test_no_rules_at_all_is_a_page_that_says_so(tmp_path: Path) -> None:
    """Nothing proved."""
    empty = Verdicts(rules=(), target={"name": "journal"})
    (tmp_path / "verdicts.json").write_text(json.dumps(empty.as_json()), encoding="utf-8")
    assert "No rule found anything to judge." in page_of(tmp_path)


def test_a_story_needs_two_steps() -> None:
    """One exchange is told by itself."""
    recorded = runs.journal()
    assert story([next(iter(recorded.exchanges()))], (1,), Header()) is None
