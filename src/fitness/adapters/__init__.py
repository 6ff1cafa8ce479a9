"""The outside world, one folder per technology; none knows another."""
