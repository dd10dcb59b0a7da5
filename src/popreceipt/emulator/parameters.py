"""Framework parameters: what an administrator sets for all recurring data jobs at once.

"Data import/export framework parameters". They stand in the store, as one setting.
"""

from typing import Final

import msgspec

from popreceipt.emulator.store import Store

_SETTING: Final = "parameters"


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters that have an effect here, each with its documented default.

    `skip_reprocessing`: a message that a batch job left in process when it died stays so, instead of being put back to
    Enqueued by the next run.
    """

    skip_reprocessing: bool = False


def parameters_of(store: Store) -> Parameters:
    """The parameters as they are set."""
    kept = store.setting(_SETTING)
    return Parameters() if kept is None else msgspec.json.decode(kept, type=Parameters)


def set_parameters(store: Store, parameters: Parameters | None) -> None:
    """Set the parameters; None brings back the defaults."""
    store.put_setting(_SETTING, None if parameters is None else msgspec.json.encode(parameters).decode("utf-8"))
