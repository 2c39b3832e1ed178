"""Every error a user can meet.

::

    BciError
    ├── UsageError                 the command line asks for what cannot be (exit code 2)
    ├── SpecError(ValueError)      wrong or inconsistent settings
    ├── SignalError(ValueError)    data that do not fit their description
    ├── StreamError
    │   ├── StreamNotFound         lists the streams that are there
    │   ├── StreamLost             the other side went away
    │   ├── ChannelMismatch        missing, extra or permuted channels, wrong rate or unit
    │   └── Overflow               a buffer with policy ``raise`` is full
    ├── RecordingError             a file that cannot be read as a recording
    ├── AnnotationError            a file that cannot be read as events of a recording
    ├── DownloadError              an archive that cannot be fetched
    ├── BundleError                a trained model that cannot be trusted
    │   ├── SchemaError            unknown or malformed contents
    │   └── ParityError            outputs differ from the golden run
    └── EngineError                an inference backend that is missing or fails

A message says what is needed, what came and what to do.
"""


class BciError(Exception):
    """Base of all errors that this toolkit raises on purpose."""


class UsageError(BciError):
    """The command line asks for something that cannot be (exit code 2)."""


class SpecError(BciError, ValueError):
    """Settings that are wrong or do not fit each other."""


class SignalError(BciError, ValueError):
    """Samples that do not fit the description of their signal."""


class StreamError(BciError, RuntimeError):
    """A live stream that cannot be used."""


class StreamNotFound(StreamError):
    """No stream answered to the description."""


class StreamLost(StreamError):
    """A stream that was open has gone away."""


class ChannelMismatch(StreamError):
    """The signal is not the one the model was trained for."""


class Overflow(StreamError):
    """A bounded buffer is full and its policy is to raise."""


class RecordingError(BciError):
    """A file that cannot be read as a recording."""


class AnnotationError(BciError):
    """A file that cannot be read as events of a recording."""


class DownloadError(BciError):
    """An archive, or a file of it, that cannot be fetched."""


class BundleError(BciError):
    """A trained model that cannot be trusted."""


class SchemaError(BundleError):
    """A file of a bundle has unknown or malformed contents."""


class ParityError(BundleError):
    """Outputs differ from the golden run by more than the limit."""


class EngineError(BciError, RuntimeError):
    """An inference backend that is missing or fails."""
