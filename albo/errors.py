"""Every error that albo raises on purpose: one tree, turned into exit codes in one place.

A message says the value, the limit and the remedy in one line; the command line prints it as it is.
"""


class AlboError(Exception):
    """Something albo cannot do, said in one line with the remedy."""


class UsageError(AlboError):
    """The call itself is wrong (an unknown name, a number out of range): exit code 2."""


class BadCover(AlboError):
    """A file is no cover that can be read; the message is the reason alone, without the path."""


class UnknownBackbone(UsageError):
    """No backbone of that name; the message names the nearest ones."""


class MissingWeights(AlboError):
    """A backbone's weights are not here and could not be had; the message says how to get them."""


class RuntimeFailed(AlboError):
    """The network could not be run on the device asked for."""


class NoActivationMap(AlboError):
    """What a head saw of a cover has no places on it; the message is the reason alone."""


class EmptyCatalog(AlboError):
    """There are no covers to work on."""


class EmptyIndex(AlboError):
    """The index holds no cover (that the filter admits)."""


class StaleArtifact(AlboError):
    """Something built is missing, foreign, damaged, or older than what it was built from."""


class TooFewCovers(AlboError):
    """Too few covers, groups or genres to fit a head on."""


class UnknownGenre(UsageError):
    """No genre goes by that name or id, or no cover has it; the message names the nearest ones."""


class UnknownHead(UsageError):
    """No head of that name has been trained."""


class NoSplit(UsageError):
    """A table lacks the columns of a split: the cover's, or the one that names its side."""


class UnknownSource(UsageError):
    """A source is neither a folder, an image, a manifest nor anything else that albo reads."""


class CannotWrite(AlboError):
    """A file could not be written: the disk is full, the folder read-only, a limit reached."""


class WriterAtWork(AlboError):
    """Another albo writes to the same artifacts and did not finish in the time given."""


class ForeignArtifact(StaleArtifact):
    """Something built is another backbone's, a newer albo's or closed to us: never overwritten."""


class DownloadFailed(AlboError):
    """Something could not be fetched; the message is the reason alone, without the URL."""


class HostUnavailable(DownloadFailed):
    """A host did not answer, or refused; nothing is known of what it was asked for."""


class NotAsked(HostUnavailable):
    """A host was given up before: it was not even asked."""


class LostCover(BadCover):
    """A cover of the store is gone or damaged; `is_gone` tells which."""

    def __init__(self, reason: str, *, is_gone: bool) -> None:
        super().__init__(reason)
        self.is_gone = is_gone


class BadFeed(AlboError):
    """What came is no album chart; the message is the reason alone, without the URL."""


class MissingReader(AlboError):
    """What reads words is not installed, or not whole; the message says what to install."""
