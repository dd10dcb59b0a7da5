"""Entities of one's own: a folder is enough for projects, made-up records, imports and exports."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.dmf.entity import CUSTOMER_GROUPS, ENTITIES, Entities, Entity, Field, load_entities
from popreceipt.emulator.dmf.exporting import fresh
from popreceipt.emulator.dmf.field import Reference
from popreceipt.emulator.dmf.project import Project, ProjectEntity
from popreceipt.emulator.dmf.synthetic import NotEnough, synthetic
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.mutants import maker

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Open

SIZES = """
name = "Sizes"
staging = "SizeStaging"
target = "Size"

[[fields]]
name = "COMPANYID"
type = "text"
length = 4
key = true

[[fields]]
name = "SIZE"
type = "integer"
key = true

[[fields]]
name = "ADDED"
type = "datetime"

[[fields]]
name = "BLOCKED"
type = "yes-no"
mandatory = true

[[fields]]
name = "CUSTOMERGROUPID"
type = "text"
length = 10
reference = { entity = "Customer groups", field = "CUSTOMERGROUPID" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one entity."""
    (tmp_path / "sizes.toml").write_text(SIZES, encoding="utf-8")
    return tmp_path


def test_an_entity_of_ones_own_goes_both_ways(open_office: Open, folder: Path) -> None:
    """Made up, exported with what it refers to, and imported elsewhere."""
    office = open_office(entities=load_entities(folder))
    entities = [{"entity": "Customer groups"}, {"entity": "sizes", "level": 2}]
    source, goal = office.job_for("export", *entities), office.job_for("import", *entities, type="package")
    assert office.produce(source, 30)["records"] == 60
    message = office.imported(goal, office.payload(source), None)
    assert office.errors(message) == []
    assert office.records(goal, "Sizes") == office.records(source, "Sizes")
    assert len(office.records(goal, "Sizes")) == 30
    assert "Sizes" in [one["name"] for one in office.emulator.world()["entities"]]


def test_a_wrong_emulator_knows_them_too(folder: Path) -> None:
    """A mutant is put together from other parts, with the same entities."""
    emulator = maker("last-record-lost")(ManualClock(), entities=load_entities(folder))
    assert emulator.entities.named("SIZES") is not None
    made = emulator.create_activity(direction="export", entity="Sizes")
    with emulator.attended() as now:
        assert emulator.batch.produce(made, 2, now).records == 2


def served(*options: str) -> subprocess.Popen[str]:
    """A server started by its command."""
    return subprocess.Popen(
        [sys.executable, "-m", "popreceipt", "serve", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_takes_folders(folder: Path) -> None:
    """`serve --entities DIR`: the world has what is in it."""
    process = served("--entities", str(folder))
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        with httpx.Client(trust_env=False) as client:
            world = client.get(f"{ready['control_url']}/world").json()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert {"Sizes", "Customer groups"} <= {one["name"] for one in world["entities"]}


def test_a_file_from_a_windows_editor_is_read(tmp_path: Path) -> None:
    """It begins with a byte order mark, which says nothing here."""
    (tmp_path / "sizes.toml").write_text(SIZES, encoding="utf-8-sig")
    assert load_entities(tmp_path).named("Sizes") is not None


def test_a_folder_that_is_none_is_told_before_the_port_opens(folder: Path) -> None:
    """As wrong usage."""
    process = served("--entities", str(folder), "--entities", str(folder / "nowhere"))
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert "nowhere is no folder of entity files" in " ".join(err.split())


# Records that are made up


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
def test_made_up_records_are_good_and_repeatable(entity: Entity) -> None:
    """Every check passes, no key comes twice, the same seed gives the same."""
    parents = {field.name: ["P1", "P2"] for field in entity.fields if field.reference is not None}
    made = synthetic(entity, Guids(7), 500, parents)
    assert [entity.problem(record) for record in made] == [None] * 500
    assert len({tuple(record[key] for key in entity.keys) for record in made}) == 500
    assert made == synthetic(entity, Guids(7), 500, parents)
    assert made != synthetic(entity, Guids(8), 500, parents)
    assert {tuple(record) for record in made} == {entity.columns}


def test_keys_may_not_go_far_enough() -> None:
    """Sixteen letters do not name seventeen records; the control plane tells it."""
    short = Entity("Short", (Field("K", length=1, key=True, mandatory=True),))
    assert len(synthetic(short, Guids(1), 16)) == 16
    with pytest.raises(NotEnough, match="for 17 records: 16 fit"):
        synthetic(short, Guids(1), 17)


def test_entities_may_refer_to_each_other() -> None:
    """Nobody comes first then; the reference that closes the ring stays empty."""
    first = Entity("First", (Field("K", key=True), Field("B", reference=Reference("Second", "K"))))
    second = Entity("Second", (Field("K", key=True), Field("A", reference=Reference("First", "K"))))
    project = Project(id="p", name="P", direction="export", entities=(ProjectEntity(entity="First"),))
    made = fresh(project, Entities([first, second, CUSTOMER_GROUPS]), Guids(1), 3)
    assert [len(rows) for rows in made.values()] == [3, 3]
    assert {row["B"] for row in made[first]} == {row["K"] for row in made[second]}
    assert {row["A"] for row in made[second]} == {""}
