"""What pre-processing stumbles over: sentences for a consultant, who reads them beside the message that failed."""


class Unreadable(Exception):
    """A file that pre-processing cannot make sense of; the text says what was found and what was expected."""


class UnknownEntity(Unreadable):
    """A package that holds an entity which the project lacks."""
