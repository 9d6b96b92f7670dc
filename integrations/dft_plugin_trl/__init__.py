"""Distribution Fine-Tuning from TRL's command line: `dft sft --config sft.yaml`."""
