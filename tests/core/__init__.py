"""The pure decisions: tables first, laws with Hypothesis."""
