"""Run configuration: the schema and its loader."""

from configs.load import ConfigError, check_config, describe_errors, dump_config, load_config
from configs.schema import Config

__all__ = ["Config", "ConfigError", "check_config", "describe_errors", "dump_config", "load_config"]
