from .journal import Account as Account
from .journal import EmbedSummary as EmbedSummary
from .journal import Journal as Journal
from .loading import (
    NEVER as NEVER,
)
from .loading import (
    CoverLoader as CoverLoader,
)
from .loading import (
    Loaded as Loaded,
)
from .loading import (
    LoadOutcome as LoadOutcome,
)
from .loading import (
    Unreadable as Unreadable,
)
from .loading import (
    has_signature as has_signature,
)
