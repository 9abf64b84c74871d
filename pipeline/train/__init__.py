"""Training: SL-CAI, preference models and RL-CAI (paper sections 3.2 and 4.1), on TRL's trainers."""
