"""The human reference: counts of human text, their file, and how far two human samples differ."""

from dft_plugin.reference.accumulated import Reference
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.tokenized import read_documents

__all__ = ["HumanReferenceError", "Reference", "read_documents"]
