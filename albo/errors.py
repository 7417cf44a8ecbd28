"""Every error that albo raises on purpose: one tree, mapped to exit codes in one place.

A message gives the value, the limit and the remedy in one line; the command line prints it.
"""


class AlboError(Exception):
    """Something that albo cannot do; the message is one line with the remedy."""


class UsageError(AlboError):
    """The call itself is wrong (an unknown name, a number out of range): exit code 2."""


class BadCover(AlboError):
    """A file is not a readable cover; the message is only the reason, without the path."""


class UnknownBackbone(UsageError):
    """No backbone of that name; the message names the nearest ones."""


class MissingWeights(AlboError):
    """A backbone's weights are missing and not available; the message says how to get them."""


class RuntimeFailed(AlboError):
    """The network could not be run on the device asked for."""


class NoActivationMap(AlboError):
    """A head's features have no activation map; the message is only the reason."""


class EmptyCatalog(AlboError):
    """There are no covers to work on."""


class EmptyIndex(AlboError):
    """The index holds no cover (that the filter admits)."""


class StaleArtifact(AlboError):
    """An artifact is missing, foreign, damaged, or older than its inputs."""


class TooFewCovers(AlboError):
    """Too few covers, groups or genres to fit a head on."""


class UnknownGenre(UsageError):
    """No genre has that name or id, or no cover has the genre; the message names the nearest."""


class UnknownHead(UsageError):
    """No head of that name has been trained."""


class NoSplit(UsageError):
    """A table lacks the columns of a split: the cover's, or the one that names its side."""


class UnknownSource(UsageError):
    """A source is not a folder, an image, a manifest or another input of albo."""


class CannotWrite(AlboError):
    """A file could not be written: the disk is full, the folder read-only, a limit reached."""


class WriterAtWork(AlboError):
    """Another albo writes to the same artifacts and did not finish in time."""


class ForeignArtifact(StaleArtifact):
    """An artifact of another backbone or a newer albo, or unreadable: never overwritten."""


class DownloadFailed(AlboError):
    """Something could not be fetched; the message is only the reason, without the URL."""


class HostUnavailable(DownloadFailed):
    """A host did not answer, or refused; the URL itself may be good."""


class NotAsked(HostUnavailable):
    """A host that was given up before: it was not asked."""


class LostCover(BadCover):
    """A cover of the store is gone or damaged; `is_gone` tells which."""

    def __init__(self, reason: str, *, is_gone: bool) -> None:
        super().__init__(reason)
        self.is_gone = is_gone


class BadFeed(AlboError):
    """The data is not an album chart; the message is only the reason, without the URL."""


class MissingReader(AlboError):
    """The word reader is not installed, or incomplete; the message says what to install."""
