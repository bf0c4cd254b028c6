"""The pages in a real Chromium, by role and label, against a real server with real runs."""
