"""All of them: producers, consumers, pollers, and an administrator who watches."""

from popreceipt.load import driving
from popreceipt.load.shapes import Course
from popreceipt.load.users import Administrator, ExportConsumer, ImportProducer, StatusPoller

__all__ = ["Administrator", "Course", "ExportConsumer", "ImportProducer", "StatusPoller"]

driving.drive("mixed")
