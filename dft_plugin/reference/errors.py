"""What goes wrong with references."""


class HumanReferenceError(ValueError):
    """A reference that cannot be used; the message says why and how to mend it."""
