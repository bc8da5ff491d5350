"""The grader of mathematical answers: reading them as exact values, and comparing these values."""
