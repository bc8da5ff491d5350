"""The warm start: demonstrations, and TRL's SFTTrainer on them."""
