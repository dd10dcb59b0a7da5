"""Export consumers: dequeue, download, acknowledge, while exports are produced at the plan's rate."""

from popreceipt.load import driving
from popreceipt.load.shapes import Course
from popreceipt.load.users import ExportConsumer

__all__ = ["Course", "ExportConsumer"]

driving.drive("exports")
