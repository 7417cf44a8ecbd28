from .poster import (
    MOST_ROWS as MOST_ROWS,
)
from .poster import (
    draw_explained as draw_explained,
)
from .poster import (
    draw_typical as draw_typical,
)
from .sheet import (
    Bar as Bar,
)
from .sheet import (
    SheetRow as SheetRow,
)
from .sheet import (
    Tile as Tile,
)
from .sheet import (
    draw_sheet as draw_sheet,
)
from .sheet import (
    save_sheet as save_sheet,
)
from .terminal import many as many
from .terminal import printable as printable
