"""Support ticket triage: simple tickets are answered at once, whatever moves money or accounts waits for a human."""
