"""The human reference: accumulators of human text, their file, and how far two human samples differ."""

from dft_plugin.reference.accumulated import Reference, ReferenceError, build
from dft_plugin.reference.human_floor import floors
from dft_plugin.reference.tokenized import read_documents

__all__ = ["Reference", "ReferenceError", "build", "floors", "read_documents"]
