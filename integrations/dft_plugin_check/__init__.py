"""`dft check`: what a configuration of TRL or Axolotl would do in silence, found before a run."""
