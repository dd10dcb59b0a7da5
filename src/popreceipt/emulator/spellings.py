"""How statuses are written where: by GetMessageStatus, by jobstatus, and in Manage messages.

Names and numbers of the two families are those of the enumerations in public clients
(microsoft/Recurring-Integrations-Scheduler, ContractEnums); where those differ from "Getting the status of a message",
the profile chooses.
"""

from popreceipt.emulator.message import Message
from popreceipt.emulator.profile import Profile
from popreceipt.vocabulary import (
    DEQUEUED,
    DOWNLOADED,
    POSTPROCESSING_FAILED,
    PREPROCESSING,
    PREPROCESSING_ERROR,
    PROCESSING,
    STATUS_CODES,
)

_JOB_STATES = {
    # The enumeration of job states has no member for pre-processing: to it the job is simply under way.
    PREPROCESSING: ("InProcess", PROCESSING),
    PROCESSING: ("InProcess", PROCESSING),
    PREPROCESSING_ERROR: ("PreProcessError", PREPROCESSING_ERROR),
    POSTPROCESSING_FAILED: ("PostProcessError", POSTPROCESSING_FAILED),
}


def visible_status(message: Message, profile: Profile) -> str:
    """The documentation's name of a message's status."""
    if message.status == DOWNLOADED and profile.status_downloaded == "hidden":
        return DEQUEUED
    return message.status


def message_status(message: Message, profile: Profile) -> str:
    """The status as GetMessageStatus spells it."""
    status = visible_status(message, profile)
    if status == PREPROCESSING:
        return profile.status_ninth_spelling
    if status == POSTPROCESSING_FAILED:
        return profile.status_seventh_spelling
    return status


def job_state(message: Message, profile: Profile) -> str | int:
    """The status as jobstatus writes it: by name or by number."""
    status = visible_status(message, profile)
    name, counted_as = _JOB_STATES.get(status, (status, status))
    return name if profile.status_jobstatus_state == "name" else STATUS_CODES.index(counted_as)
