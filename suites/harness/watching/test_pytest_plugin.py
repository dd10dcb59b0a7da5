"""The fixtures for tests of middleware, as its developers use them: in pytest runs of their own."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import popreceipt.pytest_plugin

pytest_plugins = ["pytester"]

CLIENT = '''
import json

import httpx
import pytest

class Middleware:
    """A right one, as small as can be."""

    def __init__(self, told):
        self.http = httpx.Client(base_url=told["POPRECEIPT_BASE_URL"], trust_env=False, timeout=20)
        form = {
            "grant_type": "client_credentials",
            "client_id": told["POPRECEIPT_CLIENT_ID"],
            "client_secret": told["POPRECEIPT_CLIENT_SECRET"],
            "scope": told["POPRECEIPT_RESOURCE"] + "/.default",
        }
        token = self.http.post(told["POPRECEIPT_TOKEN_URL"], data=form).json()["access_token"]
        self.http.headers["authorization"] = "Bearer " + token
        self.export, self.intake = told["POPRECEIPT_EXPORT_ACTIVITY"], told["POPRECEIPT_IMPORT_ACTIVITY"]

    def pull(self, downloads=True, echo=True):
        taken = []
        while (delivery := self.http.get(f"/api/connector/dequeue/{self.export}")).status_code == 200:
            file = self.http.get(delivery.json()["DownloadLocation"]) if downloads else None
            if file is None or file.status_code == 200:
                taken.append(file and file.content)
                headers = {"content-type": "application/json"}
                known = ("CorrelationId", "PopReceipt", "DownloadLocation")
                short = json.dumps({each: delivery.json()[each] for each in known})
                body = delivery.content if echo else short
                self.http.post(f"/api/connector/ack/{self.export}", content=body, headers=headers)
        return taken

    def push(self, content):
        path = f"/api/connector/enqueue/{self.intake}?entity=Customer%20groups"
        return self.http.post(path, content=content).json()

@pytest.fixture
def middleware(connector):
    made = Middleware(connector.environment())
    yield made
    made.http.close()
'''

QUIET = ("-p", "no:cacheprovider", "-W", "error")


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Runs a test file beside a middleware, in a process of its own that has no plugin but ours: others take time."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def runs(test: str, *arguments: str, ini: str = "") -> pytest.RunResult:
        pytester.makeini(f"[pytest]\naddopts = --strict-markers --strict-config\n{ini}")
        pytester.makepyfile(conftest=CLIENT, test_mine=test)
        return pytester.runpytest_subprocess(*QUIET, "-p", "popreceipt.pytest_plugin", *arguments, timeout=60)

    return runs


EXPORT = """
import hashlib

def test_an_export_arrives(connector, middleware, connector_journal):
    produced = connector.produce(records=5)
    (file,) = middleware.pull()
    assert hashlib.sha256(file).hexdigest() == produced.sha256
    assert [row["Status"] for row in connector.messages()] == ["Acked"]
    connector_journal.check()

def test_a_file_is_imported(connector, middleware, connector_clock, connector_journal):
    middleware.push(b"CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID\\r\\nA,b,\\r\\n")
    assert connector.process() == 1
    connector_clock.advance(minutes=1)
    assert [row["CUSTOMERGROUPID"] for row in connector.records()] == ["A"]
    assert len(connector_journal.of("enqueue")) == 1

def test_what_is_not_acknowledged_comes_back(connector, middleware, connector_clock, connector_faults):
    connector.produce()
    connector_faults.add("download", "status", status=503, times=1, activity="export")
    assert middleware.pull() == []
    assert connector_faults.hits == 1
    connector_faults.clear()
    assert list(connector_faults) == []
    before = connector_clock.now()
    connector_clock.advance(minutes=30, seconds=1)
    assert (connector_clock.now() - before).total_seconds() == 1801
    assert len(middleware.pull()) == 1

def test_each_test_begins_anew(connector, connector_journal):
    assert connector.messages() == []
    assert connector_journal.exchanges == []
"""


@pytest.mark.parametrize("where", ["thread", "process"])
def test_a_right_middleware_passes(where: str, run) -> None:
    """The same tests, with the emulator in a thread of their process and beside it."""
    run(EXPORT, ini=f"popreceipt_connector = {where}").assert_outcomes(passed=4)


def test_a_wrong_middleware_fails_and_is_told_why(run) -> None:
    """The failure names the rule, its place and the exchanges, and not the inside of the plugin."""
    result = run(
        """
        def test_mine(connector, middleware, connector_journal):
            connector.produce()
            middleware.pull(downloads=False)
            connector_journal.check()
        """
    )
    result.assert_outcomes(failed=1)
    told = result.stdout.str()
    for words in (
        "✘ acknowledgment.after-a-whole-download (MUST, documented)",
        "“API for export (dequeue)”",
        "GET /api/connector/dequeue/",
        "POST /api/connector/ack/",
        "check(without=[",
        ">       connector_journal.check()",
        "the message:",
    ):
        assert words in told
    assert "pytest_plugin/journal.py" not in told
    assert "client_secret" not in told


def test_rules_and_levels_can_be_left_out(run) -> None:
    """By id, by a pattern, by level; a rule that does not exist is an error with a sentence."""
    result = run(
        """
        import pytest
        from popreceipt.exceptions import UsageError

        def test_left_out(connector, middleware, connector_journal):
            connector.produce()
            middleware.pull(downloads=False, echo=False)
            left_out = ["acknowledgment.after-a-whole-download", "acknowledgment.w*"]
            connector_journal.check(without=left_out)
            assert not {each.id for each in connector_journal.verdicts(without=left_out)} & set(left_out)
            with pytest.raises(AssertionError, match="after-a-whole-download"):
                connector_journal.check(levels=["MUST"])
            with pytest.raises(AssertionError, match="whole-answer") as found:
                connector_journal.check(levels="SHOULD")
            assert "after-a-whole-download" not in str(found.value)
            with pytest.raises(UsageError, match="no.such"):
                connector_journal.check(without=["no.such"])
            with pytest.raises(UsageError, match="MAY"):
                connector_journal.check(levels=["MAY"])
        """
    )
    result.assert_outcomes(passed=1)


def test_a_client_that_did_nothing_has_not_passed(run) -> None:
    """A check that had nothing to judge fails, and says so."""
    result = run("def test_mine(connector, connector_journal): connector_journal.check()")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*No rule found anything to judge in 0 exchanges*"])


def test_the_mark_says_how_the_connector_is(run) -> None:
    """Dialects, another lease, TLS, a clock that runs; the nearest mark counts."""
    result = run(
        """
        import httpx
        import pytest
        import ssl

        pytestmark = pytest.mark.connector(dialect="dequeue.empty-queue=200-empty")

        def test_dialect(connector, middleware):
            assert middleware.http.get(f"/api/connector/dequeue/{middleware.export}").status_code == 200

        @pytest.mark.connector(dialect=["acknowledgment.success-answer=204"], lease_seconds=60)
        def test_nearest(connector, middleware, connector_clock):
            assert middleware.http.get(f"/api/connector/dequeue/{middleware.export}").status_code == 204
            connector.produce()
            middleware.http.get(f"/api/connector/dequeue/{middleware.export}")
            connector_clock.advance(minutes=1, seconds=1)
            assert len(middleware.pull()) == 1

        @pytest.mark.connector(tls=True)
        def test_tls(connector):
            assert connector.base_url.startswith("https://")
            context = ssl.create_default_context(cafile=connector.environment()["POPRECEIPT_CA_FILE"])
            answer = httpx.get(connector.base_url + "/api/connector/dequeue/x", verify=context, trust_env=False)
            assert answer.status_code == 401

        @pytest.mark.connector(clock="system", lease_seconds=9)
        def test_clock(connector, connector_clock):
            assert connector.environment()["POPRECEIPT_LEASE_SECONDS"] == "9"
            with pytest.raises(Exception, match="Only a manual clock"):
                connector_clock.advance(minutes=1)
        """
    )
    result.assert_outcomes(passed=4)


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ("dialect='no=such'", "no open point 'no'"),
        ("where='cloud'", "in a thread or in a process"),
        ("lease=3", "has no 'lease'"),
        ("clock='lunar'", "Unknown clock 'lunar'"),
        ("profile='missing.toml'", "There is no profile"),
        ("'system'", "takes names only"),
    ],
)
def test_a_wrong_mark_is_told_in_a_sentence(mark: str, words: str, run) -> None:
    """The test fails in its set-up, without a trace of the plugin's inside."""
    result = run(
        f"""
        import pytest

        @pytest.mark.connector({mark})
        def test_mine(connector): pass
        """
    )
    result.assert_outcomes(errors=1)
    assert words in result.stdout.str()
    assert "houses.py" not in result.stdout.str()


RUN = """
def run_my_middleware(told):
    script = Path(__file__).parent / "middleware.py"
    subprocess.run([sys.executable, script], env=os.environ | told, check=True, timeout=30)
"""


def test_the_guides_example(run, pytester: pytest.Pytester) -> None:
    """It runs as it stands there, with a middleware in a process of its own."""
    guides = Path(__file__).parents[3] / "src" / "popreceipt" / "docs" / "pages" / "guides"
    guide = (guides / "test-my-middleware-in-pytest.md").read_text(encoding="utf-8")
    example = guide.partition("```python\n")[2].partition("```")[0]
    script = CLIENT.partition("@pytest.fixture")[0] + "\nimport os\nMiddleware(os.environ).pull()\n"
    pytester.path.joinpath("middleware.py").write_text(script, encoding="utf-8")
    assert "connector_journal.check()" in example
    imports = "import os, subprocess, sys\nfrom pathlib import Path\n"
    run(imports + RUN + example, ini="popreceipt_connector = process").assert_outcomes(passed=1)
    run(imports + RUN + example).assert_outcomes(passed=1)


def test_the_journal_can_be_judged_elsewhere(run, pytester: pytest.Pytester) -> None:
    """What a test wrote is a whole journal for the command, too."""
    run(
        """
        from pathlib import Path

        def test_mine(connector, middleware, connector_journal):
            connector.produce()
            middleware.pull()
            connector_journal.write(Path("journal.ndjson"))
        """
    ).assert_outcomes(passed=1)
    judged = subprocess.run(
        [sys.executable, "-m", "popreceipt", "judge", "journal.ndjson", "--binds", "client", "--json"],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert judged.returncode == 0, judged.stderr
    assert json.loads(judged.stdout)["complete"]


def test_runs_that_do_not_use_it_are_left_alone(pytester: pytest.Pytester) -> None:
    """The plugin is there by its entry point; in a run without its fixtures it has imported nothing of the emulator."""
    pytester.makepyfile(
        """
        import sys

        def test_mine():
            heavy = ("popreceipt.emulator", "popreceipt.client", "popreceipt.rules", "popreceipt.journal")
            assert [name for name in heavy if name in sys.modules] == []
            assert "popreceipt.pytest_plugin" in sys.modules
        """
    )
    result = pytester.runpytest_subprocess(*QUIET, "--strict-markers", timeout=60)
    result.assert_outcomes(passed=1)


def test_the_plugin_itself_imports_nothing_but_pytest() -> None:
    """At its top stand the standard library and pytest, and nothing that takes time."""
    tree = ast.parse(Path(popreceipt.pytest_plugin.__file__).read_text(encoding="utf-8"))
    named = [
        name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    ]
    assert set(named) <= {"collections.abc", "typing", "pytest"}


def test_types_can_be_named_in_annotations() -> None:
    """The fixtures' classes are found at the plugin's own name."""
    from popreceipt.pytest_plugin import Connector, ConnectorClock, ConnectorFaults, ConnectorJournal

    names = [each.__name__ for each in (Connector, ConnectorClock, ConnectorFaults, ConnectorJournal)]
    assert names == ["Connector", "ConnectorClock", "ConnectorFaults", "ConnectorJournal"]
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = popreceipt.pytest_plugin.nothing_such


def test_a_test_with_a_connector_is_cheap(run) -> None:
    """A further test takes far less than fifty milliseconds of CPU, everything included: key and server are shared."""
    result = run(
        """
        import time
        import pytest

        spent = []

        @pytest.fixture
        def spending():
            began = time.process_time()
            yield
            spent.append(time.process_time() - began)

        @pytest.mark.parametrize("number", range(21))
        def test_mine(spending, connector, connector_clock, connector_faults, connector_journal, number):
            connector.environment()

        def test_cost():
            assert sorted(spent)[10] < 0.05
        """
    )
    result.assert_outcomes(passed=22)
