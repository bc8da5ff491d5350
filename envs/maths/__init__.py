"""The grader of mathematical answers: text to exact values, and whether two of them are equal."""
