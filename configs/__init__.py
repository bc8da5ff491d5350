"""Run configuration: the schema and its loader."""

from configs.schema.config import Config
from configs.schema.load import ConfigError, check_config, dump_config, load_config
from configs.schema.messages import describe_errors

__all__ = ["Config", "ConfigError", "check_config", "describe_errors", "dump_config", "load_config"]
