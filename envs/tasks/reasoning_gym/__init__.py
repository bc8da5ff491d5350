"""The tasks of reasoning-gym, generated and scored in sandboxes."""
