"""What everything else rests on: errors, seeding, the machine; it knows nothing of training."""
