"""TRL's own SFT script with the distribution term: any `trl sft` configuration plus a `dft:` block.

dft sft --config sft.yaml                                  as `trl sft` starts it, through accelerate
accelerate launch -m dft_plugin_trl.sft --config sft.yaml
torchrun -m dft_plugin_trl.sft --config sft.yaml
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from subprocess import CalledProcessError
from typing import Any

from dft_plugin.config import ConfigError, DFTConfig, parse
from dft_plugin_check import check as checks
from dft_plugin_trl.keys import unknown_keys


def read_block(arguments: Sequence[str]) -> tuple[DFTConfig, dict[str, Any]]:
    """The `dft:` block of the file after `--config`, and the file's other keys.

    Raises:
        ConfigError: when there is no `--config`, no such file or no valid block in it, or a key nothing reads.
        UnsupportedRunError: when TRL's part asks for what the term is not exact with.
    """
    from dft_plugin.host import UnsupportedRunError

    if "--config" not in arguments[:-1]:
        raise ConfigError("give a configuration: `dft sft --config sft.yaml`, a `trl sft` file with a `dft:` block")
    path = arguments[list(arguments).index("--config") + 1]
    content = checks.read_yaml(path)
    if "base_model" in content and checks.host_of(content) == checks.AXOLOTL:
        raise ConfigError(
            f"{path} is a configuration of Axolotl (it has base_model), and `dft sft` runs TRL's script: "
            f"`axolotl train {path}` with `plugins: [{checks.PLUGIN}]` runs it"
        )
    if "dft" not in content:
        raise ConfigError(f"{path}: {checks.no_block(content)}, or use `trl sft`")
    config = parse(content.pop("dft"), where=f"{path}: dft")
    if unknown := list(unknown_keys(map(str, content))):
        raise ConfigError(f"{path}: {'; '.join(unknown)}")
    if unsupported := list(checks.unsupported_settings(content, checks.TRL, config)):
        raise UnsupportedRunError(f"{path}: {'; '.join(unsupported)}")
    return config, content


@contextmanager
def in_every_trainer(*callbacks: Any) -> Iterator[None]:
    """Every Trainer made inside has the callbacks, because TRL's script makes its own."""
    from transformers import trainer

    trainer.DEFAULT_CALLBACKS.extend(callbacks)
    try:
        yield
    finally:
        for callback in callbacks:
            trainer.DEFAULT_CALLBACKS.remove(callback)


def train(arguments: Sequence[str]) -> None:
    """Runs TRL's script in this process.

    Raises:
        ConfigError: as `read_block`.
        UnsupportedRunError: when the run is one in which the term is not exact, or has other options than the file's.
        HumanReferenceError: when the human reference cannot be used.
        DistributionTermError: when the term did not act.
    """
    arguments = _apart(arguments)
    config, _ = read_block(arguments)
    from trl.scripts import sft

    from dft_plugin.callback import DFTCallback, DistributionTermError
    from dft_plugin_trl.witness import Witness

    # `dft:` is unknown to TRL's parser, which leaves alone what its launcher may know.
    parsed = sft.make_parser().parse_args_and_config(arguments, fail_with_unknown_args=False)
    witness = Witness(config)
    with in_every_trainer(DFTCallback(config), witness):
        sft.main(*parsed)
    if not witness.active:
        raise DistributionTermError("TRL's script ended without having called DFTCallback: the term was not active")


def launch(arguments: Sequence[str]) -> int:
    """Starts `train` the way `trl sft` starts its script: through `accelerate launch`, whose options
    (`num_processes`, `accelerate_config`, ...) may stand in the file or on the command line.

    Returns:
        The exit code.

    Raises:
        ConfigError: as `read_block`.
        UnsupportedRunError: as `read_block`.
    """
    if {"-h", "--help"} & set(arguments):
        _parser().print_help()
        return 0
    arguments = _apart(arguments)
    _, content = read_block(arguments)
    from accelerate.commands.launch import launch_command, launch_command_parser

    for_accelerate, for_training = _split(_parser(), content, arguments)
    launched = [*for_accelerate, "--module", "dft_plugin_trl.sft", *for_training]
    try:
        launch_command(launch_command_parser().parse_args(launched))
    except CalledProcessError as error:
        return error.returncode
    return 0


def _parser() -> Any:
    """TRL's, which reads `--config` by itself and so does not list it."""
    from trl.scripts.sft import make_parser

    parser = make_parser()
    parser.prog = "dft sft"
    parser.usage = "dft sft --config FILE [options of TRL's SFT script, below, or of `accelerate launch`]"
    parser.description = (
        "--config FILE is required: a `trl sft` configuration with a `dft:` block (`dft schema` prints its options). "
        "What is given on the command line goes before what the file says."
    )
    return parser


def _apart(arguments: Sequence[str]) -> list[str]:
    """`--config=FILE` as two arguments, as TRL's parser wants it."""
    split = (entry.split("=", 1) if entry.startswith("--config=") else [entry] for entry in arguments)
    return [entry for entries in split for entry in entries]


def _split(parser: Any, content: Mapping[str, Any], arguments: list[str]) -> tuple[list[str], list[str]]:
    """What accelerate is to be given, and what the training script is.

    Raises:
        ConfigError: for an option that neither knows; accelerate would print all of its own.
    """
    at = arguments.index("--config")
    config, given = arguments[at : at + 2], arguments[:at] + arguments[at + 2 :]
    from_file = parser.set_defaults_with_config(**{key: value for key, value in content.items() if key != "env"})
    _, from_command_line = parser.parse_known_args(given)
    options = (argument for argument in from_command_line if argument.startswith("--"))
    if unknown := list(unknown_keys(option[2:].partition("=")[0] for option in options)):
        raise ConfigError(f"on the command line: {'; '.join(unknown)}")
    for_accelerate = [*from_file, *from_command_line]
    if "--accelerate_config" in for_accelerate:
        from trl.cli.accelerate_config import resolve_accelerate_config_argument

        for_accelerate = resolve_accelerate_config_argument(for_accelerate)
    left = iter(from_command_line)
    expected = next(left, None)
    for_training = list(config)
    for argument in given:
        if argument == expected:  # both are in the order they were given
            expected = next(left, None)
        else:
            for_training.append(argument)
    return for_accelerate, for_training


def main() -> None:
    """Trains; what the user can mend is one line on stderr and exit code 1."""
    from dft_plugin.callback import DistributionTermError
    from dft_plugin.host import UnsupportedRunError
    from dft_plugin.language_model import UnsupportedModelError
    from dft_plugin.reference import HumanReferenceError

    known = (ConfigError, UnsupportedRunError, UnsupportedModelError, HumanReferenceError, DistributionTermError)
    try:
        train(sys.argv[1:])
    except known as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
