"""Import producers: files are handed in at the plan's rate, however long the answers take."""

from popreceipt.load import driving
from popreceipt.load.shapes import Course
from popreceipt.load.users import ImportProducer

__all__ = ["Course", "ImportProducer"]

driving.drive("imports")
