from .covers import draw_sample as draw_sample
from .folder import (
    is_sample_folder as is_sample_folder,
)
from .folder import (
    sample_file as sample_file,
)
from .folder import (
    write_samples as write_samples,
)
from .plan import (
    EDITIONS as EDITIONS,
)
from .plan import (
    STYLES as STYLES,
)
from .plan import (
    Sample as Sample,
)
from .plan import (
    plan_kept_aside as plan_kept_aside,
)
from .plan import (
    plan_samples as plan_samples,
)
