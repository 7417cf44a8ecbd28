"""Every error that albo raises on purpose: one tree, mapped to exit codes in one place.

A message has the value, the limit and the remedy in one line; the command line prints it unchanged.
"""


class AlboError(Exception):
    """A failure that albo explains in one line, with the remedy."""


class UsageError(AlboError):
    """The call itself is wrong (an unknown name, a number out of range): exit code 2."""


class BadCover(AlboError):
    """A file is not a readable cover; the message is only the reason, without the path."""


class UnknownBackbone(UsageError):
    """No backbone has that name; the message lists the nearest names."""


class MissingWeights(AlboError):
    """A backbone's weights are missing and cannot be fetched; the message says how to get them."""


class RuntimeFailed(AlboError):
    """The network could not be run on the requested device."""


class NoActivationMap(AlboError):
    """The features of a head have no places on a cover; the message is only the reason."""


class EmptyCatalog(AlboError):
    """There are no covers for the command."""


class EmptyIndex(AlboError):
    """The index has no cover (that the filter accepts)."""


class StaleArtifact(AlboError):
    """An artifact is missing, foreign, damaged, or older than its inputs."""


class TooFewCovers(AlboError):
    """There are too few covers, groups or genres to fit a head."""


class UnknownGenre(UsageError):
    """No genre has that name or id, or no cover has it; the message lists the nearest names."""


class UnknownHead(UsageError):
    """No trained head has that name."""


class NoSplit(UsageError):
    """A table lacks the columns of a split: the cover's, or the one with its side."""


class UnknownSource(UsageError):
    """A source is not a folder, an image, a manifest or anything else that albo reads."""


class CannotWrite(AlboError):
    """A file could not be written: the disk is full, the folder read-only, a limit reached."""


class WriterAtWork(AlboError):
    """Another albo writes to the same artifacts and did not finish in time."""


class ForeignArtifact(StaleArtifact):
    """An artifact is of another backbone or a newer albo, or unreadable: never overwritten."""


class DownloadFailed(AlboError):
    """A download failed; the message is only the reason, without the URL."""


class HostUnavailable(DownloadFailed):
    """A host did not answer, or refused; nothing is known about the requested resource."""


class NotAsked(HostUnavailable):
    """A host was given up before, so no request was sent."""


class LostCover(BadCover):
    """A cover of the store is gone or damaged; `is_gone` tells which."""

    def __init__(self, reason: str, *, is_gone: bool) -> None:
        super().__init__(reason)
        self.is_gone = is_gone


class BadFeed(AlboError):
    """The received data is no album chart; the message is only the reason, without the URL."""


class MissingReader(AlboError):
    """The word reader is not installed, or not complete; the message says what to install."""
