"""The human reference: counts of human text, their file, and how far two human samples differ."""

from dft_plugin.reference.accumulated import Reference
from dft_plugin.reference.errors import ReferenceError
from dft_plugin.reference.tokenized import read_documents

__all__ = ["Reference", "ReferenceError", "read_documents"]
