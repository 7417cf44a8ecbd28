from .decoding import Facts as Facts
from .decoding import Picture as Picture
from .decoding import decode as decode
from .decoding import examine as examine
from .decoding import open_image as open_image
from .formats import (
    IMAGE_SUFFIXES as IMAGE_SUFFIXES,
)
from .formats import (
    has_image_signature as has_image_signature,
)
from .miniature import MINIATURE_SIDE as MINIATURE_SIDE
from .miniature import miniature_of as miniature_of
from .overlay import faded as faded
