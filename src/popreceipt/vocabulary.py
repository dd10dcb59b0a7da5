"""Names on the wire, and nothing else.

The three witnesses (specifications, rules, emulator) share these spellings so that they can speak about the
same thing. No behaviour stands here and no duration: what a name promises is written in each witness anew.
"""

import re
from typing import Final
from urllib.parse import unquote

# The journal's names for what a request was (journal format, "operation").
TOKEN: Final = "token"
ENQUEUE: Final = "enqueue"
DEQUEUE: Final = "dequeue"
DOWNLOAD: Final = "download"
ACK: Final = "ack"
JOBSTATUS: Final = "jobstatus"
MESSAGE_STATUS: Final = "message-status"
EXECUTION_ID: Final = "execution-id"
EXECUTION_ERRORS: Final = "execution-errors"
EXECUTION_SUMMARY: Final = "execution-summary"
OTHER: Final = "other"

OPERATIONS: Final = (
    TOKEN,
    ENQUEUE,
    DEQUEUE,
    DOWNLOAD,
    ACK,
    JOBSTATUS,
    MESSAGE_STATUS,
    EXECUTION_ID,
    EXECUTION_ERRORS,
    EXECUTION_SUMMARY,
    OTHER,
)

# Members of the answer to a dequeue. The capital L in two of them is the service's own spelling.
CORRELATION_ID: Final = "CorrelationId"
POP_RECEIPT: Final = "PopReceipt"
DOWNLOAD_LOCATION: Final = "DownloadLocation"
FILE_EXISTS: Final = "IsDownLoadFileExist"
FILE_ERROR: Final = "FileDownLoadErrorMessage"
LAST_DEQUEUE: Final = "LastDequeueDateTime"

# The header in which a client may hand over its own name for an enqueued file.
EXTERNAL_IDENTIFIER: Final = "x-ms-dyn-externalidentifier"

# Statuses of a message, as the section "Getting the status of a message" spells them, and Downloaded.
ENQUEUED: Final = "Enqueued"
DEQUEUED: Final = "Dequeued"
DOWNLOADED: Final = "Downloaded"
ACKED: Final = "Acked"
PREPROCESSING: Final = "Preprocessing"
PROCESSING: Final = "Processing"
PROCESSED: Final = "Processed"
PREPROCESSING_ERROR: Final = "PreProcessingError"
PROCESSED_WITH_ERRORS: Final = "ProcessedWithErrors"
POSTPROCESSING_FAILED: Final = "PostProcessingFailed"

# Other spellings of the same statuses that have been seen in clients, all in lower case here.
SPELLINGS: Final = {
    "enqueued": ENQUEUED,
    "dequeued": DEQUEUED,
    "downloaded": DOWNLOADED,
    "acked": ACKED,
    "preprocessing": PREPROCESSING,
    "processing": PROCESSING,
    "inprocess": PROCESSING,
    "processed": PROCESSED,
    "preprocessingerror": PREPROCESSING_ERROR,
    "preprocesserror": PREPROCESSING_ERROR,
    "processedwitherrors": PROCESSED_WITH_ERRORS,
    "postprocessingfailed": POSTPROCESSING_FAILED,
    "postprocessingerror": POSTPROCESSING_FAILED,
    "postprocesserror": POSTPROCESSING_FAILED,
}

# Statuses by the number under which they are stored (and which jobstatus may show).
STATUS_CODES: Final = (
    ENQUEUED,
    DEQUEUED,
    DOWNLOADED,
    ACKED,
    PROCESSING,
    PROCESSED,
    PROCESSED_WITH_ERRORS,
    POSTPROCESSING_FAILED,
    PREPROCESSING_ERROR,
    PREPROCESSING,
)

# Statuses of an execution ("Data management package REST API", GetExecutionSummaryStatus).
SUMMARY_STATUSES: Final = (
    "Unknown",
    "NotRun",
    "Executing",
    "Succeeded",
    "PartiallySucceeded",
    "Failed",
    "Canceled",
)

ZERO_GUID: Final = "00000000-0000-0000-0000-000000000000"

# The OData actions of the entity set DataManagementDefinitionGroups, and the journal's name for each.
ODATA_PREFIX: Final = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
ACTIONS: Final = {
    "GetMessageStatus": MESSAGE_STATUS,
    "GetExecutionIdByMessageId": EXECUTION_ID,
    "GetExecutionErrors": EXECUTION_ERRORS,
    "GetExecutionSummaryStatus": EXECUTION_SUMMARY,
}

_CONNECTOR = re.compile(r"/api/connector/(enqueue|dequeue|download|ack|jobstatus)(?:/([^/?#]*))?/?$", re.IGNORECASE)
_ACTION = re.compile(r"/data/DataManagementDefinitionGroups/Microsoft\.Dynamics\.DataEntities\.(\w+)/?$", re.IGNORECASE)
_TOKEN = re.compile(r"/oauth2(?:/v2\.0)?/token/?$", re.IGNORECASE)
_ACTIONS_IN_LOWER_CASE = {name.lower(): operation for name, operation in ACTIONS.items()}


def operation_of(path: str) -> tuple[str, str | None]:
    """What a request's path (still percent-encoded, without its query) asks for, and of which activity.

    The activity is what stands in the path, decoded, bare and in lower case; None where the path names none.
    """
    if found := _CONNECTOR.search(path):
        segment = found.group(2)
        return found.group(1).lower(), bare_guid(unquote(segment)) if segment else None
    if found := _ACTION.search(path):
        return _ACTIONS_IN_LOWER_CASE.get(found.group(1).lower(), OTHER), None
    if _TOKEN.search(path):
        return TOKEN, None
    return OTHER, None


def bare_guid(text: str) -> str:
    """A GUID without braces, quotes or white space around it and in lower case; other text likewise."""
    return text.strip().strip('"').strip().removeprefix("{").removesuffix("}").lower()
