"""The statistics of text that a model's generations are matched on."""
