"""Files that the client hands in: records survive, and packages have the parts that the documentation names."""

import csv
import io
import zipfile
from xml.etree import ElementTree

import pytest

from popreceipt.client.packages import COLUMNS, ENTITY, Packed, data_package, delimited, package_of

RECORD = {"CUSTOMERGROUPID": "10", "DESCRIPTION": 'Large, "fine" & \u00fcber', "PAYMENTTERMID": ""}


def test_records_survive_their_file() -> None:
    text = delimited([RECORD, RECORD]).decode("utf-8")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    assert list(reader) == [RECORD, RECORD]
    assert tuple(reader.fieldnames or ()) == COLUMNS


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8"])
def test_a_package_names_its_file(encoding: str) -> None:
    """The manifest, the header and the one file that the manifest names, at the root of the zip."""
    content = delimited([RECORD])
    with zipfile.ZipFile(io.BytesIO(data_package(content, encoding=encoding))) as package:
        assert package.namelist() == ["Manifest.xml", "PackageHeader.xml", "Customer groups.csv"]
        manifest = package.read("Manifest.xml").decode(encoding)
        ElementTree.fromstring(package.read("PackageHeader.xml").decode(encoding))
        assert package.read("Customer groups.csv") == content
    names = {each.tag.rpartition("}")[2]: each.text for each in ElementTree.fromstring(manifest).iter()}
    assert names["EntityName"] == ENTITY
    assert names["InputFilePath"] == "Customer groups.csv"


def test_a_folder_can_be_put_around_the_parts() -> None:
    with zipfile.ZipFile(io.BytesIO(data_package(b"", folder="inside"))) as package:
        assert all(name.startswith("inside/") for name in package.namelist())


def test_equal_contents_are_equal_packages() -> None:
    assert data_package(b"x") == data_package(b"x") != data_package(b"y")


def test_a_package_of_several_entities() -> None:
    """Each has its file, its format and its place in the order."""
    parts = [
        Packed(ENTITY, "groups.csv", b"1", level=2),
        Packed("Vendors V2", "vendors.xml", b"<a/>", ("VENDORACCOUNTNUMBER",), "XML-Element", sequence=3),
    ]
    with zipfile.ZipFile(io.BytesIO(package_of(parts))) as package:
        assert [package.read(name) for name in ("groups.csv", "vendors.xml")] == [b"1", b"<a/>"]
        manifest = ElementTree.fromstring(package.read("Manifest.xml").decode("utf-16"))
    told = [
        {each.tag.rpartition("}")[2]: each.text for each in entity}
        for entity in manifest.iter()
        if entity.tag.endswith("DataManagementPackageEntityData")
    ]
    wanted = ("EntityName", "InputFilePath", "SourceFormat", "LevelInExecutionUnit", "SequenceInLevel")
    assert [tuple(each[name] for name in wanted) for each in told] == [
        (ENTITY, "groups.csv", "CSV", "2", "1"),
        ("Vendors V2", "vendors.xml", "XML-Element", "1", "3"),
    ]


def test_packages_with_a_fault() -> None:
    """A part may be left out, and the order of the manifest's elements turned round."""
    with zipfile.ZipFile(io.BytesIO(data_package(b"", without="Manifest.xml"))) as package:
        assert package.namelist() == ["PackageHeader.xml", "Customer groups.csv"]
    orders = []
    for backwards in (False, True):
        with zipfile.ZipFile(io.BytesIO(data_package(b"", backwards=backwards))) as package:
            root = ElementTree.fromstring(package.read("Manifest.xml").decode("utf-16"))
        orders.append([each.tag.rpartition("}")[2] for each in root.findall("./*/*/*")])
    assert orders[0] == sorted(orders[0]) == orders[1][::-1]
