"""The commands of `stride`, one file each: arguments to config to one call."""
