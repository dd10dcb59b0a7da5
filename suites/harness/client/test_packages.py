"""Files that the client hands in: records survive, and packages have the parts that the documentation names."""

import csv
import io
import zipfile
from xml.etree import ElementTree

import pytest

from popreceipt.client.packages import COLUMNS, ENTITY, data_package, delimited

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
