from .backbones import (
    Backbone as Backbone,
)
from .backbones import (
    FrozenBackbone as FrozenBackbone,
)
from .backbones import (
    find_card as find_card,
)
from .backbones import (
    near_duplicate_thresholds as near_duplicate_thresholds,
)
from .backbones import (
    open_backbone as open_backbone,
)
from .batches import PacedEncoder as PacedEncoder
from .cards import Card as Card
from .cards import card_of as card_of
from .engines import (
    Export as Export,
)
from .engines import (
    cores as cores,
)
from .engines import (
    export_file as export_file,
)
from .engines import (
    has_bfloat16 as has_bfloat16,
)
from .engines import (
    import_openvino as import_openvino,
)
from .engines import (
    last_line as last_line,
)
from .engines import (
    load_or_export as load_or_export,
)
from .engines import (
    open_core as open_core,
)
from .engines import (
    openvino_failed as openvino_failed,
)
from .engines import (
    run_in_order as run_in_order,
)
from .file_facts import recall as recall
from .file_facts import remember as remember
from .maps import compile_map_network as compile_map_network
from .runtimes import check_device as check_device
from .weights import DEFAULT as DEFAULT
from .weights import offers as offers
