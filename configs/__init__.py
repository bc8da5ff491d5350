"""Run configuration: the schema and its loader."""

from configs.schema.config import Config
from configs.schema.load import ConfigError, check_config, describe_errors, dump_config, load_config

__all__ = ["Config", "ConfigError", "check_config", "describe_errors", "dump_config", "load_config"]
