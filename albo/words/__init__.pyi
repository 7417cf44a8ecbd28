from .given import Given as Given
from .meanings import CoverMeanings as CoverMeanings
from .reader import MAX_SIDE as MAX_SIDE
from .reader import SCRIPTS as SCRIPTS
from .reader import Reader as Reader
from .reader import open_reader as open_reader
from .reader import prepare as prepare
from .reader import reader_card as reader_card
from .titles import (
    MOST as MOST,
)
from .titles import (
    is_read as is_read,
)
from .titles import (
    largest_text as largest_text,
)
from .titles import (
    lines_with as lines_with,
)
from .titles import (
    share_read as share_read,
)
