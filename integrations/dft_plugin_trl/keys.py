"""Keys that nothing reads: neither TRL's script, nor the launcher that is given what the script leaves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dft_plugin.plugins import nearest

OF_THE_FILE = {"dft", "env", "accelerate_config"}
"""Read by `dft sft` and by `trl sft` themselves."""


def unknown_keys(given: Iterable[str]) -> Iterator[str]:
    """What to say of each that no parser of `trl sft` knows.

    Args:
        given: keys of a file, or names of options on the command line.

    Raises:
        ImportError: where TRL is not installed.
    """
    from accelerate.commands.launch import launch_command_parser
    from trl.scripts.sft import make_parser

    script = {action.dest for action in make_parser()._actions} - {"help"}
    options = (option for action in launch_command_parser()._actions for option in action.option_strings)
    launcher = {option.removeprefix("--") for option in options if option.startswith("--")} - {"help"}
    known = script | launcher | OF_THE_FILE
    for key in given:
        if key not in known:
            yield (
                f"unknown key \"{key}\".{nearest(key, sorted(known))} Neither TRL's SFT script nor accelerate's "
                "launcher reads it: rename or remove it (`dft sft --help` lists TRL's)"
            )


__all__ = ["unknown_keys"]
